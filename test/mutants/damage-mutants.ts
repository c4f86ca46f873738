/* Mutants of the checks on what is read: checksums, identity, structure, bounds. Each check is taken out alone. */
import { applying, block, directedDamage, payload, planted } from './killers.ts';
import type { Killer, Mutant } from './mutant.ts';

const APPLY = 'src/store/apply.ts';
const BLOCK = 'assembly/blocks/block.ts';
const PAYLOAD = 'assembly/blocks/payload.ts';
const LOAD = 'src/maintenance/directory-load.ts';

function unreadableSlots(test: RegExp): Killer {
  return { file: 'engine/unreadable-slots.test.ts', test };
}

export const damageMutants: readonly Mutant[] = [
  {
    name: 'M15 a reference says nothing of the checksum of its block',
    file: BLOCK,
    edits: [
      ['if (sum != ((sumLow as u64) | ((sumHigh as u64) << 32))) return damaged(low, DAMAGE_IDENTITY);', ''],
    ],
    killer: directedDamage(/an older copy of a block/),
  },
  {
    name: "check: a block's own checksum",
    file: BLOCK,
    edits: [['if (sum != load<u64>(block, 56)) return damaged(low, DAMAGE_CHECKSUM);', '']],
    killer: block(/every flipped bit/),
  },
  {
    name: "check: a block's store",
    file: BLOCK,
    edits: [['if (load<u64>(block, 32) != load<u64>(STORE_ID)) return damaged(low, DAMAGE_IDENTITY);', '']],
    killer: planted(/finds a block of another store/),
  },
  {
    name: "check: a block's number and kind",
    file: BLOCK,
    edits: [
      [
        'if (load<u32>(block, 8) != low || load<u32>(block, 12) != high || load<u8>(block, 4) != kind) {',
        'if (kind == 0xff) {',
      ],
    ],
    killer: planted(/finds a block of another page/),
  },
  {
    name: "check: a block's version",
    file: BLOCK,
    edits: [['if (load<u16>(block, 6) != FORMAT_VERSION) return damaged(low, DAMAGE_IDENTITY);', '']],
    killer: planted(/finds a block of another format/),
  },
  {
    name: "check: a block's magic",
    file: BLOCK,
    edits: [['if (load<u32>(block) != BLOCK_MAGIC) return damaged(low, DAMAGE_MAGIC);', '']],
    killer: planted(/finds a block without the magic/),
  },
  {
    name: "check: a block's stored size",
    file: BLOCK,
    edits: [['if (stored > available - BLOCK_HEADER_SIZE) return damaged(low, DAMAGE_SIZE);', '']],
    killer: block(/release, codec none .*every flipped bit/),
  },
  {
    name: "check: a page's epoch",
    file: BLOCK,
    edits: [
      [
        'if (epoch > load<u64>(EPOCH) || (expecting && epoch > load<u64>(MISS_EPOCH))) {',
        'if (expecting && epoch > load<u64>(MISS_EPOCH)) {',
      ],
    ],
    killer: block(/epoch that has not begun/),
  },
  {
    name: "check: a page's epoch against its reader",
    file: BLOCK,
    edits: [
      [
        'if (epoch > load<u64>(EPOCH) || (expecting && epoch > load<u64>(MISS_EPOCH))) {',
        'if (epoch > load<u64>(EPOCH)) {',
      ],
    ],
    killer: block(/epoch that has not begun/),
  },
  {
    name: "check: a payload's size",
    file: BLOCK,
    edits: [['if (raw == 0 || raw > most) return', 'if (raw == 0) return']],
    killer: block(/release, codec lz4 .*a changed header/),
  },
  {
    name: 'check: the lower bound of a page',
    file: PAYLOAD,
    edits: [['FENCE_LOW_AREA, low) < 0', 'FENCE_LOW_AREA, low) < -2']],
    killer: payload(/./),
  },
  {
    name: 'check: the upper bound of a page',
    file: PAYLOAD,
    edits: [['FENCE_HIGH_AREA, high) >= 0', 'FENCE_HIGH_AREA, high) >= 2']],
    killer: payload(/./),
  },
  {
    name: 'check: the order of keys',
    file: PAYLOAD,
    edits: [['keyLength(page, i - 1), key, keyBytes) >= 0)', 'keyLength(page, i - 1), key, keyBytes) >= 2)']],
    killer: payload(/./),
  },
  {
    name: 'check: the records fill their payload',
    file: PAYLOAD,
    edits: [['if (at != end) return DAMAGE_SIZE;', '']],
    killer: payload(/./),
  },
  {
    name: 'check: the numbers of children',
    file: PAYLOAD,
    edits: [['if (numberFault(word, number)) return DAMAGE_REFERENCE;', '']],
    killer: payload(/./),
  },
  {
    name: 'check: the bytes that an overflow page says it has',
    file: PAYLOAD,
    edits: [['used != length - OVERFLOW_PAYLOAD_HEADER || ', '']],
    killer: payload(/./),
  },
  {
    name: 'check: a chunk that does not open is refused',
    file: 'src/store/blocks.ts',
    edits: [
      [
        'if (status !== OK) throw this.damage(place, `directory chunk',
        'if (status < 0) throw this.damage(place, `directory chunk',
      ],
    ],
    killer: planted(/finds a damaged chunk of the directory/),
  },
  {
    name: 'check: extents overlap',
    file: 'src/store/extents.ts',
    edits: [
      [
        'for (let sector = start; sector < start + sectors; ++sector) if (this.#owned(sector)) return false;\n    this.#own(start, sectors);',
        'for (let sector = start; sector < start + sectors; ++sector) this.#set(sector);\n    this.#used += sectors;\n    this.#end = Math.max(this.#end, start + sectors);',
      ],
    ],
    killer: planted(/finds two pages in one extent/),
  },
  {
    name: 'check: an extent ends where the superblock says the last one does',
    file: LOAD,
    edits: [['start + sectors <= last && ', '']],
    killer: planted(/finds a page behind the end of the file/),
  },
  {
    name: 'check: an entry that cannot be',
    file: LOAD,
    edits: [
      ['if (!entry) throw refusal(', 'if (page < 0) throw refusal('],
      ['if (entry.sectors > 0) claim(', 'if (entry && entry.sectors > 0) claim('],
    ],
    killer: planted(/finds a chunk in the place of a page/),
  },
  {
    name: 'check: an entry for a page that was never used',
    file: LOAD,
    edits: [['if (entry?.sectors === 0) continue;', 'if (page > 0 || entry) continue;']],
    killer: planted(/finds an entry for page 0/),
  },
  {
    name: "check: a superblock's checksum",
    file: 'src/store/superblock.ts',
    edits: [['if (!whole || version !== FORMAT_VERSION)', 'if (version !== FORMAT_VERSION)']],
    killer: directedDamage(/superblock/),
  },
  {
    name: 'damage: a page that lost a durable change is believed when it can be read again',
    file: APPLY,
    edits: [['if (page !== undefined) spoil(pager, page);', '']],
    killer: applying(/is unreadable: the store opens/),
  },
  {
    name: 'damage: a page that the log writes to costs the store',
    file: APPLY,
    edits: [
      [
        'if (!this.#replaying || (page === undefined && !isCatalog)) throw error;',
        'if (page !== -1) throw error;',
      ],
    ],
    killer: applying(/is rotten: the store opens/),
  },
  {
    name: 'damage: a read that failed once while the log is replayed is not tried again',
    file: APPLY,
    edits: [['if (!isKnown && tries < READ_TRIES) continue;', '']],
    killer: applying(/fail once each/),
  },
  {
    name: 'damage: what is left of a long value that could not be freed is forgotten',
    file: 'src/store/overflow-pages.ts',
    edits: [
      [
        'isHidden(this.#pager, first)) this.stuck.push({ first, rest });',
        'isHidden(this.#pager, first)) void first;',
      ],
    ],
    killer: applying(/not even the pages/),
  },
  {
    name: 'damage: long values that could not be freed take ids that the log names later',
    file: APPLY,
    edits: [['if (!this.#replaying) this.#keepStuck();', 'this.#keepStuck();']],
    killer: applying(/takes no id/),
  },
  {
    name: 'opening: a superblock slot that cannot be read stops it',
    file: 'src/maintenance/find-store.ts',
    edits: [['if (tries === READ_TRIES) return { cause };', 'throw cause;']],
    killer: unreadableSlots(/a store opens when/),
  },
  {
    name: 'opening: a slot that could not be read once counts as damaged',
    file: 'src/maintenance/find-store.ts',
    edits: [['if (tries === READ_TRIES) return { cause };', 'return { cause };']],
    killer: unreadableSlots(/another try.*2/),
  },
  {
    name: 'opening: a store is made anew beside a slot that cannot be read',
    file: 'src/maintenance/find-store.ts',
    edits: [['  throwUnread(read);\n', '']],
    killer: unreadableSlots(/made anew/),
  },
];
