/**
 * Salvage, as it is called.
 */
import type { StorageBackend } from '../backend/backend.ts';
import type { StorageConfig } from '../config/config.ts';
import type { SalvageReport } from '../maintenance/salvage.ts';
import { loadSalvage } from './load-work.ts';

/**
 * Copies what is readable of a damaged store to a new one, and lists what is not. The old store is read past damage of
 * every kind (checksums that do not hold, sectors that cannot be read, in pages, directory and log), and never written;
 * one whole superblock is all that is needed. Every key is in the new store with its newest value, or in a range that is
 * listed; only when the log itself is damaged, which is listed as `commits`, the new store is what the old one was
 * before the commits that are lost. The new store has the old one's page size, trees, block ids and, unless
 * `config.compression` says otherwise, its codec. It is durable when the promise resolves; until then, and when
 * salvage fails or the process dies, no store is at the target.
 *
 * @param config How the damaged store is opened; `onProgress` hears of it as of a backup.
 * @param target A folder, which is made if it is not there, or a backend; nothing of a store may be in it.
 * @throws AegisError `INVALID_ARGUMENT`, `NOT_FOUND` (there is no store), `NOT_A_STORE`, `UNSUPPORTED_VERSION`, `LOCKED`
 *   (of either place), `CORRUPTION` (both superblocks are gone: nothing can be told), `EXISTS` (a store is at the target),
 *   `OUT_OF_SPACE`, `IO_ERROR` (of the target), `UNSUPPORTED`
 */
export async function salvage(
  config: StorageConfig,
  target: string | StorageBackend,
): Promise<SalvageReport> {
  const { salvageWhole } = await loadSalvage();
  return salvageWhole(config, target);
}
