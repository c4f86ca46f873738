/* Mutants of what stands between codecs and a store: their answers are checked, and what they need is recorded. */
import { hosted, storeCodecs, storedBlocks, userBlock } from './killers.ts';
import type { Mutant } from './mutant.ts';

const CODEC = 'src/codec/codec.ts';
const HOSTED = 'src/store/hosted.ts';

export const codecMutants: readonly Mutant[] = [
  {
    name: 'codec: the superblock does not say what blocks were written with',
    file: 'src/maintenance/checkpoint.ts',
    edits: [['blocks.retiredCodecs) | blocks.codecs.used', 'blocks.retiredCodecs)']],
    killer: storeCodecs(/does not ask for zstd/),
  },
  {
    name: 'codec: an answer is believed',
    file: CODEC,
    edits: [
      ["typeof answer === 'number' && Number.isInteger(answer) && answer > 0 && answer <= most", 'true'],
    ],
    killer: hosted(/./),
  },
  {
    name: 'codec: what a codec from outside compressed is not decoded',
    file: HOSTED,
    edits: [['codec !== CODEC_LZ4 && codecs.proves(codec)', 'false']],
    killer: hosted(/compresses something else/),
  },
  {
    name: 'codec: LZ4 from outside is sealed as it comes',
    file: 'assembly/blocks/block.ts',
    edits: [['|| !payloadSame(raw)', '|| raw == 0']],
    killer: hosted(/compresses something else/),
  },
  {
    name: 'codec: a page is sealed as the codec has left its source',
    file: HOSTED,
    edits: [['return proves && !x.payloadSame(raw) ? 0 : bytes;', 'return bytes;']],
    killer: hosted(/writes on its source/),
  },
  {
    name: 'codec: the size of a hosted payload is not looked at',
    file: 'assembly/blocks/block.ts',
    edits: [['if (stored >= raw) return damaged(low, DAMAGE_SIZE);', '']],
    killer: hosted(/sizes that cannot be/),
  },
  {
    name: 'user block: its checksum is not looked at',
    file: 'src/codec/user-block.ts',
    edits: [['if (!x.userSumHolds(KEY_AREA))', 'if (x.userSumHolds(KEY_AREA) === undefined)']],
    killer: userBlock(/flipped bit/),
  },
  {
    name: 'user block: what is behind the last piece is not looked at',
    file: 'src/codec/user-block.ts',
    edits: [['if (at !== bytes.length) throw damage', 'if (at < 0) throw damage']],
    killer: userBlock(/checksum that holds is CORRUPTION/),
  },
  {
    name: 'user block: its header claims any size',
    file: 'assembly/blocks/user-block.ts',
    edits: [['if (codec == CODEC_NONE ? stored != raw : stored >= raw) return DAMAGE_SIZE;', '']],
    killer: userBlock(/checksum that holds is CORRUPTION/),
  },
  {
    name: 'user block: lz4-wasm is given blocks nobody walked',
    file: 'src/codec/lz4-wasm.ts',
    edits: [['if (!isSound(source, target.length)) return 0;', '']],
    killer: userBlock(/offset of 0/),
  },
  {
    name: 'blocks: an id that is only deleted counts as given out',
    file: 'src/store/apply.ts',
    edits: [['if (kind === RECORD_PUT || kind === RECORD_PUT_LONG) this.#catalog', 'this.#catalog']],
    killer: storedBlocks(/uses no ids up/),
  },
  {
    name: 'blocks: ids that the log has seen are given out again',
    file: 'src/store/apply.ts',
    edits: [['if (tree === this.#catalog.blocksId) this.#markBlockIds(start, at);', '']],
    killer: storedBlocks(/ids come back/),
  },
  {
    name: 'blocks: a checkpoint does not say which ids were given out',
    file: 'src/store/catalog.ts',
    edits: [['nextBlock: this.blockIds.next', 'nextBlock: 1']],
    killer: storedBlocks(/ids come back/),
  },
  {
    name: 'blocks: the superblock does not say that a block needs zstd',
    file: 'src/engine/stored-blocks.ts',
    edits: [['store.pager.blocks.codecs.noteUsed(CODEC_NUMBERS[block.compression]);', '']],
    killer: storedBlocks(/in the superblock/),
  },
];
