/* Mutants of savepoints, of what transactions do to whole ranges, and of scans that fail. */
import { ranges, savepoints, savepointsCommit, scanErrors } from './killers.ts';
import type { Mutant } from './mutant.ts';

const SAVEPOINT = 'src/txn/savepoint.ts';
const TRANSACTION = 'src/txn/transaction.ts';
const SPACE = 'src/txn/transaction-space.ts';
const SCAN = 'src/txn/scan.ts';

/** deleteRange with a scan that reads one of its two sources only. */
function deletesOnly(root: string, ownRoot: string): readonly [string, string] {
  return [
    'for (const key of this.#scan(resolved).keys())',
    `const { trees, handles, checkReadable: check, rest } = this.#context.parts;
      const { root: mainRoot } = this.#target;
      const handle = handles.share(this.#context.handle, true);
      const scan = new Scan({ trees, root: ${root}, ownRoot: ${ownRoot}, handle, range: resolved, check, rest });
      for (const key of scan.keys())`,
  ];
}

export const savepointMutants: readonly Mutant[] = [
  {
    name: 'savepoints: going back forgets the counters',
    file: SAVEPOINT,
    edits: [['this.#writes.counters = level.counters;', '']],
    killer: savepointsCommit(/took back all/),
  },
  {
    name: 'savepoints: values are restored from the latest state',
    file: SAVEPOINT,
    edits: [
      [
        'own?.restore(core.u8.slice(key, key + keyLength), snapshot.epoch);',
        'own?.restore(core.u8.slice(key, key + keyLength), snapshot.epoch * 0 + 2 ** 53);',
      ],
    ],
    killer: savepoints(/what was written since/),
  },
  {
    name: 'savepoints: only what was written since the newest one is taken back',
    file: SAVEPOINT,
    edits: [['one = one === level ? undefined : one.older) {', 'one = undefined) {']],
    killer: savepoints(/one serves any number of times/),
  },
  {
    name: 'savepoints: newer ones stay good',
    file: SAVEPOINT,
    edits: [['while (this.#newest && this.#newest !== level) this.#end(this.#newest);', '']],
    killer: savepoints(/one serves any number of times/),
  },
  {
    name: 'savepoints: a key that was not there is buried instead of taken out',
    file: 'src/store/trees.ts',
    edits: [
      [
        'if (status === NOT_FOUND) {\n      this.delete(root, key);',
        'if (status === NOT_FOUND) {\n      this.writeTombstone(root, key);',
      ],
    ],
    killer: savepointsCommit(/for the keys that are still written/),
  },
  {
    name: 'savepoints: merging forgets what was written since',
    file: SAVEPOINT,
    edits: [['if (older) for (const [tree, keys] of level.changed) this.#mergeKeys(tree, keys, older);', '']],
    killer: savepoints(/nobody holds/),
  },
  {
    name: 'savepoints: those that the collector finds are kept',
    file: SAVEPOINT,
    edits: [['new FinalizationRegistry((level) => this.#abandoned(level));', 'undefined;']],
    killer: savepoints(/a loop that takes one/),
  },
  {
    name: 'savepoints: what fails midway can be committed',
    file: 'src/txn/context.ts',
    edits: [['      this.failure = error;\n      this.abort();\n      throw error;', '      throw error;']],
    killer: savepoints(/fails midway/),
  },
  {
    name: 'M30 going back takes the notes of what was read with it',
    file: TRANSACTION,
    edits: [
      [
        'this.#context.whole(() => savepoints.rollback(level));',
        'this.#context.holdings.reads?.drop();\n    this.#context.whole(() => savepoints.rollback(level));',
      ],
    ],
    killer: savepointsCommit(/what was read since/),
  },
  {
    name: 'M30 a write erases the notes of earlier reads',
    file: 'src/txn/transaction-space.ts',
    edits: [
      [
        'this.#context.holdings.writes.put(this.#name, bytes, valueBytes(value));',
        'this.#context.holdings.reads?.drop();\n    this.#context.holdings.writes.put(this.#name, bytes, valueBytes(value));',
      ],
    ],
    killer: savepointsCommit(/a read counts/),
  },
  {
    name: 'deleteRange: own records are left',
    file: SPACE,
    edits: [deletesOnly('mainRoot', '0')],
    killer: ranges(/deleteRange: it removes/),
  },
  {
    name: 'deleteRange: only own records are deleted',
    file: SPACE,
    edits: [deletesOnly('0', 'this.#own?.root ?? 0')],
    killer: ranges(/deleteRange: it removes/),
  },
  {
    name: 'deleteRange: values are read on the way',
    file: SPACE,
    edits: [['for (const key of this.#scan(resolved).keys())', 'for (const [key] of this.#scan(resolved))']],
    killer: ranges(/values are not read/),
  },
  {
    name: 'count: it goes on beyond its limit',
    file: 'assembly/tree/cursor.ts',
    edits: [['if (limit != 0 && count >= limit) return finish(count, out, false);', '']],
    killer: ranges(/no further than to its limit/),
  },
  {
    name: 'scan: what a call had read before it failed is lost',
    file: SCAN,
    edits: [['throw this.#fail(error, entries);', 'throw this.#fail(error, []);']],
    killer: scanErrors(/nextMany, all at once/),
  },
  {
    name: 'scan: one that failed holds its snapshot',
    file: SCAN,
    edits: [
      [
        `  #fail(error: unknown, kept: Entry[]): unknown {
    this.close();`,
        `  #fail(error: unknown, kept: Entry[]): unknown {
    this.#finished = true;`,
      ],
    ],
    killer: scanErrors(/an error ends it, and what next had/),
  },
  {
    name: 'scan: after an error it seems to be at its end',
    file: SCAN,
    edits: [['if (this.#failure) throw this.#failure.error;', '']],
    killer: scanErrors(/an error ends it, and what next had/),
  },
  {
    name: 'finalizers: what goes wrong when a snapshot is given back is thrown where nobody can catch it',
    file: 'src/txn/snapshot-handle.ts',
    edits: [['(handle) => handle.release()', '(handle) => handle.close()']],
    killer: scanErrors(/after a trap/),
  },
  {
    name: 'finalizers: what goes wrong when a savepoint is merged is thrown where nobody can catch it',
    file: SAVEPOINT,
    edits: [['this.#trees.pager.trapped(error);', 'throw error;']],
    killer: scanErrors(/after a trap/),
  },
];
