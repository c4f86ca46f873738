/**
 * What lies in a place: a store of ours, nothing yet, or something that is no business of ours.
 *
 *   1. Strangers' files are refused before the lock is taken, since taking it may make files; what could be ours is
 *      looked at again under the lock, and only then believed.
 *   2. A store counts as ours from its first whole superblock on. What its creation left before that (an empty data
 *      file, a piece of a superblock, one of generation 0) is made anew.
 *   3. One whole slot opens the store, whatever became of the other, also when it cannot be read. Nothing is made anew
 *      where a slot cannot be read: it may be the whole one.
 */

import { SECTOR_SIZE } from '../../assembly/layout.ts';
import type { BackendFile, StorageBackend } from '../backend/backend.ts';
import { AegisError } from '../base/errors.ts';
import type { ResolvedConfig } from '../config/config.ts';
import type { Core } from '../core/wasm.ts';
import { createCore } from '../core/wasm.ts';
import { READ_TRIES } from '../store/beside-damage.ts';
import { DATA_FILE } from '../store/blocks.ts';
import type { SlotContent, Superblock } from '../store/superblock.ts';
import { decodeSuperblock, SLOT_POSITIONS, slotBytes, strangeness } from '../store/superblock.ts';
import { logNamesOf } from '../wal/segment.ts';

/** The superblock to start from. */
export interface FoundStore {
  readonly superblock: Superblock;
  readonly slot: number;
  /** Whether the other slot is damaged. */
  readonly damaged: boolean;
}

/** Checks slots before the page size is known: any core can, and nothing of one check is left for the next. */
let probe: Core | undefined;

/** Before the lock: throws for a place that is not ours to touch, and where nothing is but a store was expected. */
export async function refuseForeignPlace(
  backend: Pick<StorageBackend, 'list' | 'open'>,
  config: ResolvedConfig,
): Promise<void> {
  const names = await backend.list();
  if (!names.includes(DATA_FILE)) return refuseToCreate(names, config);
  const file = await backend.open(DATA_FILE, { create: false, readOnly: true });
  try {
    // Size first: a store that another process is making has its superblock before its file grows.
    const size = file.size();
    if (size === 0) return refuseToCreate(names, config);
    refuseForeignData(slotsOf(file), size);
  } finally {
    file.close();
  }
}

/** Under the lock: what the data file says; undefined when there is no store, and one may be made. */
export function findStore(
  file: BackendFile,
  names: readonly string[],
  config: ResolvedConfig,
): FoundStore | undefined {
  const size = file.size();
  const read = slotsOf(file);
  refuseForeignData(read, size);
  probe ??= createCore({ pageSize: 4096, frames: 1, storeId: [0, 0] });
  const core = probe;
  const slots = read.map(
    (found): SlotContent => (found.bytes ? decodeSuperblock(core, found.bytes) : { problem: 'damaged' }),
  );
  let best: FoundStore | undefined;
  for (const [slot, content] of slots.entries()) {
    if (!('superblock' in content)) continue;
    const { superblock } = content;
    const damaged = 'problem' in (slots[1 - slot] as SlotContent);
    if (!best || isNewer(superblock, best.superblock)) best = { superblock, slot, damaged };
  }
  const problems = slots.map((content) => ('problem' in content ? content.problem : undefined));
  // A newer version may be rot. It counts if the checksum holds, or if no slot is whole.
  if (problems.includes('newer') || (!best && problems.includes('newer?'))) {
    throw new AegisError('UNSUPPORTED_VERSION', 'the store was written by a newer version of aegis-storage', {
      file: DATA_FILE,
    });
  }
  if (best && best.superblock.generation > 0) return best;
  throwUnread(read);
  if (!best && (size > SECTOR_SIZE || problems[0] !== 'empty')) throw damagedStore('no whole superblock');
  refuseToCreate(names, config);
  return undefined;
}

/** Whether slot 1 was written after slot 0, `LAST_SLOT`. */
function isNewer(one: Superblock, other: Superblock): boolean {
  if (one.generation !== other.generation) return one.generation > other.generation;
  return one.fence > other.fence;
}

/** Throws unless a store may be made where these files are. */
function refuseToCreate(names: readonly string[], config: ResolvedConfig): void {
  const logNames = logNamesOf(names);
  const stranger = names.find((name) => name !== DATA_FILE && !logNames.includes(name));
  if (stranger !== undefined) {
    const message = `no store is there, but another file is: ${stranger}`;
    throw new AegisError('NOT_A_STORE', message, { file: stranger });
  }
  if (logNames.length > 0) throw damagedStore('a log but no data');
  if (!config.readOnly && config.createIfMissing) return;
  const where = config.backend === 'local' ? ` in ${config.dataDirectory}` : '';
  throw new AegisError('NOT_FOUND', `there is no store${where}`);
}

/** Throws when the data file was never one of ours. */
function refuseForeignData(slots: readonly ReadSlot[], size: number): void {
  const strange = slots.flatMap(({ bytes }) => (bytes ? [strangeness(bytes)] : []));
  if (strange.includes(undefined)) return;
  if (strange.includes('foreign')) {
    throw new AegisError('NOT_A_STORE', 'the data file is not one of ours', { file: DATA_FILE, offset: 0 });
  }
  throwUnread(slots);
  if (size > SECTOR_SIZE) throw damagedStore('no superblock');
}

/** The bytes of a slot, or why it could not be read. */
type ReadSlot = { readonly bytes: Uint8Array } | { readonly bytes?: undefined; readonly cause: unknown };

function slotsOf(file: BackendFile): ReadSlot[] {
  return SLOT_POSITIONS.map((_position, slot) => {
    for (let tries = 1; ; ++tries) {
      try {
        return { bytes: slotBytes(file, slot) };
      } catch (cause) {
        if (tries === READ_TRIES) return { cause };
      }
    }
  });
}

/** Throws when a slot could not be read and the other one does not say what is there. */
function throwUnread(slots: readonly ReadSlot[]): void {
  for (const slot of slots) if (!slot.bytes) throw slot.cause;
}

function damagedStore(what: string): AegisError {
  return new AegisError('CORRUPTION', `the store has ${what}`, { file: DATA_FILE, offset: 0 });
}
