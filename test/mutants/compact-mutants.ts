/* Mutants of compaction: filling of pages, what is moved and when, and what is cut off the file. */
import {
  compaction,
  compactionBeside,
  compactionCut,
  compactionObstacles,
  model,
  repacking,
} from './killers.ts';
import type { Mutant } from './mutant.ts';

const REPACK = 'assembly/tree/repack.ts';
const RESHAPE = 'assembly/tree/reshape.ts';
const COMPACT = 'src/maintenance/compact.ts';
const GATHER = 'src/maintenance/relocator.ts';
const TURNS = 'src/maintenance/time-slices.ts';
const FREE_SPACE = 'src/txn/free-space.ts';
const DIRECTORY = 'src/store/directory.ts';
const BLOCKS = 'src/store/blocks.ts';

const anyShape = repacking(/release.*4096.*a tree of any shape/);
const likeNew = compaction(/is as a new one/);

export const compactMutants: readonly Mutant[] = [
  {
    name: 'repack: a page that is filled loses a record at the seam',
    file: RESHAPE,
    edits: [['    pageAppend(right, spare, take, count);', '    pageAppend(right, spare, take + 1, count);']],
    killer: anyShape,
  },
  {
    name: 'repack: the separator stays where it was',
    file: RESHAPE,
    edits: [['  replaceSeparator(above, index, spare, take, inner, pageNumber(right));\n', '']],
    killer: anyShape,
  },
  {
    name: 'repack: the page that gives is changed though a snapshot sees it',
    file: REPACK,
    edits: [['  makeWritable(sibling);\n', '']],
    killer: repacking(/release.*4096.*snapshots taken before/),
  },
  {
    name: 'repack: what an old snapshot holds is written a second time',
    file: REPACK,
    edits: [
      ['  if (pageEpoch(left) <= (protectedEpoch as u64)) return leaveAsItIs();\n', ''],
      ['  if (pageEpoch(right) <= protectedEpoch) return leaveAsItIs();\n', ''],
    ],
    killer: repacking(/release.*4096.*what an old snapshot sees/),
  },
  {
    name: 'repack: a full parent is given a longer separator',
    file: REPACK,
    edits: [
      [
        '  while (take > 0 && (inner ? keyLength(right, take) : separatorBytes(right, take)) > separatorMost) --take;\n',
        '',
      ],
    ],
    killer: repacking(/release.*4096.*short separators/),
  },
  {
    name: 'repack: the bounds of a neighbour that is read are those of the page beside it',
    file: REPACK,
    edits: [
      [
        `    const again = walkAbove(root, keyBytes, level);
    assert(again == OK, 'the way just gone is there');
`,
        '',
      ],
    ],
    killer: repacking(/release.*4096.*in no frame/),
  },
  {
    name: 'compact: what no hole takes is left behind the end',
    file: COMPACT,
    edits: [['      if (!(await round(() => relocator.evacuate(this.#top)))) break;', '      break;']],
    killer: compaction(/a long hole/),
  },
  {
    name: 'compact: nothing is set free before it begins',
    file: COMPACT,
    edits: [['    await checkpointer.checkpoint();\n', '']],
    killer: likeNew,
  },
  {
    name: 'compact: the file is cut where it should end, not where it does',
    file: BLOCKS,
    edits: [
      [
        '    this.#file.truncate((end + keep) * SECTOR_SIZE);\n    this.#extents.setFilled(end + keep);',
        '    this.#file.truncate((end - this.#extents.holeSectors + keep) * SECTOR_SIZE);\n    this.#extents.setFilled(end + keep);',
      ],
    ],
    killer: compactionCut(/./),
  },
  {
    name: 'compact: the file is cut before a checkpoint has moved in',
    file: COMPACT,
    edits: [
      [
        '      await this.#settle();\n      this.#cut();\n      return true;',
        '      this.#parts.pager.blocks.file.truncate(this.#top * SECTOR_SIZE);\n      await this.#settle();\n      this.#cut();\n      return true;',
      ],
    ],
    killer: compactionCut(/./),
  },
  {
    name: 'compact: space that was promised to commits is given back',
    file: FREE_SPACE,
    edits: [['blocks.cutTail(idle ? 0 : this.#needed(pages));', 'blocks.cutTail(idle ? 0 : 0);']],
    killer: compactionBeside(/the space that commits/),
  },
  {
    name: "compact: another writer's blocks are cut off",
    file: COMPACT,
    edits: [['    checkpointer.checkFence();\n', '']],
    killer: compactionBeside(/another writer/),
  },
  {
    name: 'compact: a page that cannot be read ends it',
    file: TURNS,
    edits: [['    if (!isRead) throw error;', '    throw error;']],
    killer: compactionObstacles(/cannot be read/),
  },
  {
    name: 'compact: it forgets that every block has been written anew',
    file: GATHER,
    edits: [
      ['blocks.retiredCodecs |= other & otherChunk & (1 << CODEC_NONE);', 'blocks.retiredCodecs |= 0;'],
    ],
    killer: compaction(/another codec/),
  },
  {
    name: 'compact: what an old snapshot sees is moved, and kept where it was as well',
    file: GATHER,
    edits: [['if (epoch > 0 && pager.directory.from(page) <= epoch) {', 'if (epoch < 0) {']],
    killer: compactionObstacles(/a snapshot sees are left/),
  },
  {
    name: 'checkpoint: pages changed while it runs are not in the next one',
    file: DIRECTORY,
    edits: [
      [
        'if (!this.#taken || from > this.#takenEpoch) this.#changed.add(index);',
        'if (!this.#taken) this.#changed.add(index);',
      ],
    ],
    killer: model('power cuts', 2),
  },
];
