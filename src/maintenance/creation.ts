/**
 * The creation of a store: how it begins, and how what came to nothing is made one that was not finished again.
 */
import { SECTOR_SIZE } from '../../assembly/layout.ts';
import type { BackendFile, StorageBackend } from '../backend/backend.ts';
import type { Core } from '../core/wasm.ts';
import type { Superblock } from '../store/superblock.ts';
import { FIRST_DATA_SECTOR, LAST_SLOT, SLOT_POSITIONS, writeSuperblock } from '../store/superblock.ts';

/** Makes a data file say, durably, that the creation of a store has begun and is not finished. */
export async function beginCreation(
  core: Core,
  file: BackendFile,
  backend: StorageBackend,
  superblock: Superblock,
): Promise<void> {
  // Remove what an unfinished creation left: a piece of its superblock in the other slot would look like damage.
  file.truncate(0);
  writeSuperblock(core, file, LAST_SLOT, { ...superblock, generation: 0 });
  await file.sync();
  await backend.syncDirectory();
  file.truncate(FIRST_DATA_SECTOR * SECTOR_SIZE);
}

/**
 * Makes a data file one whose creation was not finished again, as far as it lets itself be written. `unfinished`: bytes
 * of a superblock of generation 0, where a whole one may have been written. Throws nothing: what failed before is the
 * error to tell.
 */
export async function takeBackCreation(file: BackendFile, unfinished: Uint8Array | undefined): Promise<void> {
  try {
    if (unfinished) {
      // In this order: a whole slot without the pages it refers to would be a damaged store.
      file.write([unfinished], SLOT_POSITIONS[LAST_SLOT]);
      await file.sync();
    }
    file.truncate(SECTOR_SIZE);
    await file.sync();
  } catch {
    // Then the target stays as it was.
  }
}
