/* Mutants of named trees: ids, drops, what conflicts with them, and where their pages go. */
import type { Mutant } from './mutant.ts';

const CATALOG = 'src/store/catalog.ts';
const CONTEXT = 'src/txn/context.ts';

const trees = (test: RegExp) => ({ file: 'trees/trees.test.ts', test });
const ids = (test: RegExp) => ({ file: 'trees/ids.test.ts', test });
const drop = (test: RegExp) => ({ file: 'trees/drop.test.ts', test });
const NAME_READ =
  'this.holdings.reads?.addKey(target.id === NO_TREE ? NAMES_MADE : NAMES_DROPPED, nameBytes(name));';

export const treeMutants: readonly Mutant[] = [
  {
    name: 'trees: ids that the log names are given out again',
    file: CATALOG,
    edits: [['this.#nextTree = Math.max(this.#nextTree, id + 1);', '']],
    killer: drop(/ids are never used again/),
  },
  {
    name: 'trees: one that is made twice in the log is damage',
    file: CATALOG,
    edits: [['if (name !== undefined && this.#byName.get(name)?.id === id) return;', '']],
    killer: trees(/whichever is applied first/),
  },
  {
    name: 'trees: only the first commit of a new one says that it is made',
    file: 'src/txn/resolved-names.ts',
    edits: [
      [
        'this.makes.set(name, id);',
        'if ((this.#catalog.said ??= new Set()).size < this.#catalog.said.add(name).size) this.makes.set(name, id);',
      ],
    ],
    killer: trees(/could not be written/),
  },
  {
    name: 'trees: the id of one that is coming is given to another',
    file: 'src/store/coming-trees.ts',
    edits: [['return Math.max(from, this.#end);', 'return from;']],
    killer: ids(/takes none of a tree that is coming/),
  },
  {
    name: 'trees: what is only deleted from one that is not there uses an id up',
    file: 'src/txn/resolved-names.ts',
    edits: [
      [
        'if ((known !== undefined && this.#catalog.isMade(known)) || !holdsPut()) return known ?? NO_TREE;',
        'if (known !== undefined && (this.#catalog.isMade(known) || !holdsPut())) return known;',
      ],
    ],
    killer: ids(/remembered nowhere/),
  },
  {
    name: 'trees: who deletes where there is no tree is checked against names that were made',
    file: 'src/txn/transaction.ts',
    edits: [['      if (tree === NO_TREE) continue;\n', '']],
    killer: ids(/conflicts with nobody/),
  },
  {
    name: 'trees: a checkpoint says of trees what the one before said',
    file: 'src/maintenance/checkpoint-descriptor.ts',
    edits: [
      [
        'const { mainRoot } = superblock;\n  const { catalogRoot, nextTree, nextBlock } = catalog.state;',
        'const { mainRoot, catalogRoot, nextTree, nextBlock } = superblock;',
      ],
    ],
    killer: { file: 'trees/names.test.ts', test: /every legal kind/ },
  },
  {
    name: 'trees: an old snapshot finds them by their names of today',
    file: CATALOG,
    edits: [
      [
        'if (name === MAIN_NAME || changes === this.#changes) return this.find(name);',
        'if (changes <= this.#changes) return this.find(name);',
      ],
    ],
    killer: drop(/began before a drop read on/),
  },
  {
    name: 'trees: what was taken back makes one',
    file: 'src/txn/write-set.ts',
    edits: [['own.hasPut && holdsPut(own.keys)', 'own.hasPut']],
    killer: trees(/savepoint takes back/),
  },
  {
    name: 'trees: commits are let in behind a drop that is on its way',
    file: 'src/txn/reservations.ts',
    edits: [['return queue.isBarred || at +', 'return at +']],
    killer: drop(/stands in its place/),
  },
  {
    name: 'trees: a drop is let in behind commits on their way',
    file: 'src/txn/reservations.ts',
    edits: [
      ['if (exclusive) return queue.length > 0;', 'if (exclusive && bytes > 1000) return queue.length > 0;'],
    ],
    killer: drop(/stands in its place/),
  },
  {
    name: 'trees: a drop refuses nobody who wrote',
    file: 'src/txn/transaction.ts',
    edits: [
      [
        'if (name !== MAIN_NAME && conflicts.wasDropped(bytes, timestamp)) {',
        'if (timestamp < 0 && bytes) {',
      ],
    ],
    killer: drop(/refuses who wrote/),
  },
  {
    name: 'trees: a drop refuses nobody who read',
    file: CONTEXT,
    edits: [
      [NAME_READ, 'if (target.id === NO_TREE) this.holdings.reads?.addKey(NAMES_MADE, nameBytes(name));'],
    ],
    killer: drop(/refuses who wrote/),
  },
  {
    name: 'trees: who found none conflicts with nobody who makes it',
    file: CONTEXT,
    edits: [
      [NAME_READ, 'if (target.id !== NO_TREE) this.holdings.reads?.addKey(NAMES_DROPPED, nameBytes(name));'],
    ],
    killer: trees(/found a tree absent/),
  },
  {
    name: 'trees: a dropped one is not found again when the store is opened',
    file: CATALOG,
    edits: [['this.#trees.put(this.#root, droppedKey(id), encodeValue(id, entry.root));', '']],
    killer: drop(/goes on where/),
  },
  {
    name: 'trees: the last page of a dropped one is kept',
    file: CATALOG,
    edits: [
      ['const status = pager.run(() => pager.core.x.treeEnd(root));', 'const status = root > 0 ? OK : -1;'],
    ],
    killer: drop(/free again/),
  },
  {
    name: 'trees: long values of a dropped one are kept',
    file: 'assembly/tree/cut.ts',
    edits: [['if (!(cellWord(page, i) & META_OVERFLOW)) continue;', 'continue;']],
    killer: drop(/free again/),
  },
  {
    name: 'trees: pages without another child are kept when one is cut down',
    file: 'assembly/tree/cut.ts',
    edits: [
      ['pageEnd(frame);\n    if (next == 0) return OK;', 'if (next == 0) return OK;\n    pageEnd(frame);'],
    ],
    killer: drop(/free again/),
  },
];
