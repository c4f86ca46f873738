/* Bugs of isolation, as patches of the engine's source: what the checkers must find. */
import type { Patch } from './patched-engine.ts';

export interface SeededBug {
  readonly name: string;
  readonly patches: readonly Patch[];
  /** Whether lists alone show it; what touches only other values, counts or deletions they cannot. */
  readonly inLists: boolean;
}

const TRANSACTION = 'txn/transaction.ts';
const SPACE = 'txn/transaction-space.ts';
const CONTEXT = 'txn/context.ts';

export const seededBugs: readonly SeededBug[] = [
  {
    name: 'a transaction gets the snapshot of one begun earlier',
    inLists: true,
    patches: [
      {
        file: 'engine/engine.ts',
        from: 'const tx = new Transaction(engineCore.transactions, ++this.#lastTransaction, isolation, readOnly);',
        to: `
          const make = () => new Transaction(engineCore.transactions, ++this.#lastTransaction, isolation, readOnly);
          const kind = isolation + readOnly;
          this.spares ??= new Map();
          const spare = this.spares.get(kind);
          if (spare?.state === 'active') {
            this.spares.delete(kind);
            return spare;
          }
          if (this.#lastTransaction % 5 === 0) this.spares.set(kind, make());
          const tx = make();`,
      },
    ],
  },
  {
    name: 'no first committer wins',
    inLists: true,
    patches: [
      {
        file: TRANSACTION,
        from: 'if (!conflicts.keyChanged(tree, key, keyLength, timestamp)) return true;',
        to: 'return true;',
      },
    ],
  },
  {
    name: 'what was read is not validated',
    inLists: true,
    patches: [
      {
        file: TRANSACTION,
        from: "if (reads?.changedSince(timestamp, conflicts)) throw conflict('what this transaction has read');",
        to: '',
      },
    ],
  },
  {
    name: 'ranges read are not noted',
    inLists: true,
    patches: [{ file: 'txn/read-set.ts', from: 'this.#ranges.push(range);', to: '' }],
  },
  {
    name: 'absent keys read are not noted',
    inLists: true,
    patches: [
      {
        file: SPACE,
        from: 'const value = root === 0 ? undefined : trees.get(root, this.#context.handle.epoch, length);\n    this.#readKey(key);',
        to: 'const value = root === 0 ? undefined : trees.get(root, this.#context.handle.epoch, length);\n    if (value !== undefined) this.#readKey(key);',
      },
    ],
  },
  {
    // Of a single key the first committer would be found all the same.
    name: 'an own write erases the note of a range read around it',
    inLists: true,
    patches: [
      {
        file: SPACE,
        from: 'this.#context.holdings.writes.put(this.#name, bytes, valueBytes(value));',
        to: 'this.#context.holdings.reads?.forget(bytes); this.#context.holdings.writes.put(this.#name, bytes, valueBytes(value));',
      },
      {
        file: 'txn/read-set.ts',
        from: '  /** Whether anything read was committed after a timestamp. */',
        to: `  forget(key) {
          const kept = this.#ranges.filter(({ lower, upper }) =>
            (lower.key && Buffer.compare(key, lower.key) < 0) || (upper.key && Buffer.compare(key, upper.key) > 0));
          this.#ranges.splice(0, Number.POSITIVE_INFINITY, ...kept);
        }`,
      },
    ],
  },
  {
    name: 'a count is not noted',
    inLists: false,
    patches: [
      {
        file: SPACE,
        from: 'if (id !== NO_TREE) holdings.reads?.addRange(id, range.lower, range.upper);',
        to: '',
      },
    ],
  },
  {
    name: 'has is not noted',
    inLists: false,
    patches: [
      {
        file: SPACE,
        from: 'const found = root !== 0 && trees.has(root, this.#context.handle.epoch, length);\n    this.#readKey(key);',
        to: 'const found = root !== 0 && trees.has(root, this.#context.handle.epoch, length);',
      },
    ],
  },
  {
    name: 'a scan backwards is noted from the wrong end',
    inLists: false,
    patches: [
      {
        file: SPACE,
        from: 'read.lower = range.reverse ? (reached ?? range.lower) : range.lower;',
        to: 'read.lower = range.lower;',
      },
      {
        file: SPACE,
        from: 'read.upper = range.reverse ? range.upper : (reached ?? range.upper);',
        to: 'read.upper = reached ?? range.upper;',
      },
    ],
  },
  {
    name: 'deletions conflict with nothing',
    inLists: false,
    patches: [
      {
        file: TRANSACTION,
        from: 'keys.walk((key, keyLength) => {\n        if (!conflicts.keyChanged',
        to: 'keys.walk((key, keyLength, meta) => {\n        if (meta & 0x80000000) return true;\n        if (!conflicts.keyChanged',
      },
    ],
  },
  {
    name: 'single operations are not tracked, and so lost under a later commit',
    inLists: true,
    patches: [
      {
        file: 'txn/writer.ts',
        from: 'return this.#admission.queue(pack, size, { sync, makes: names?.makes }, done);',
        to: 'return this.#admission.queue(pack, size, { sync, makes: names?.makes, blind: true }, done);',
      },
      {
        file: 'txn/admission.ts',
        from: 'const tracked = conflicts.needed;\n    this.#ensure(size, tracked);',
        to: 'const tracked = how.blind || conflicts.needed;\n    this.#ensure(size, tracked);',
      },
      {
        file: 'txn/admission.ts',
        from: 'if (tracked) this.#trackNext((track) => track(from, to));',
        to: 'if (tracked && !how.blind) this.#trackNext((track) => track(from, to));',
      },
    ],
  },
  {
    name: 'queued commits are not noted for a transaction that begins',
    inLists: true,
    patches: [{ file: CONTEXT, from: 'parts.admission.trackQueued();', to: '' }],
  },
  {
    name: 'queued commits count as seen by a transaction that begins',
    inLists: true,
    patches: [
      {
        file: CONTEXT,
        from: 'this.sequence = parts.pipeline.applied;',
        to: 'this.sequence = parts.pipeline.nextSequence - 1;',
      },
    ],
  },
  {
    name: 'notes are dropped while a transaction needs them',
    inLists: true,
    patches: [
      {
        file: 'txn/conflicts.ts',
        from: 'for (const timestamp of this.#open.keys()) oldest = Math.min(oldest, timestamp);',
        to: '',
      },
    ],
  },
  {
    name: 'a commit is visible, and answered, before it is durable',
    inLists: true,
    patches: [
      {
        file: 'txn/commit.ts',
        from: 'if (commit.sync && log && log.durable < commit.end) break;',
        to: '',
      },
      {
        file: 'txn/commit.ts',
        from: 'this.#syncing = true;\n    ++this.counters.syncs;',
        to: 'this.#syncing = true;\n    this.#settle();\n    ++this.counters.syncs;',
      },
    ],
  },
  {
    name: 'a commit is answered before it is visible',
    inLists: true,
    patches: [
      {
        file: 'txn/writer.ts',
        from: 'if (this.#reservations.admitNow(request)) return;',
        to: 'if (this.#reservations.admitNow(request)) return resolve(commit as unknown as Committed);',
      },
    ],
  },
  {
    name: 'half of a commit is visible for a while',
    inLists: true,
    patches: [
      {
        file: 'store/apply.ts',
        from: 'let deleted = 0;\n    while (at < end) {',
        to: `let deleted = 0;
          const { x: core } = pager.core;
          const half = core.recordEnd(from);
          if (!this.halved && half < end) {
            const rest = pager.core.u8.slice(half, end);
            const last = end;
            end = half;
            let turns = 8;
            const later = () => {
              if (--turns > 0) return queueMicrotask(later);
              const kept = pager.core.u8.slice(half, last);
              pager.core.u8.set(rest, half);
              this.halved = true;
              this.apply(half, last);
              this.halved = false;
              pager.core.u8.set(kept, half);
            };
            queueMicrotask(later);
          }
          while (at < end) {`,
      },
    ],
  },
  {
    name: 'what an aborted transaction wrote becomes visible',
    inLists: true,
    patches: [
      {
        file: TRANSACTION,
        from: '    this.#context.abort();\n  }\n\n  /**\n   * Aborts, if',
        to: `    if (this.#context.state === 'active' && !this.#context.holdings.writes.isEmpty) {
          this.commit().catch(() => undefined);
          return;
        }
        this.#context.abort();
      }

      /**
       * Aborts, if`,
      },
    ],
  },
  {
    name: 'a write is visible before its transaction commits',
    inLists: true,
    patches: [
      {
        file: SPACE,
        from: 'this.#context.holdings.writes.put(this.#name, bytes, valueBytes(value));',
        to: `if (this.#context.handle.sequence % 8 === 0) {
          this.#context.parts.writer.put(this.#name, bytes, valueBytes(value), false).catch(() => undefined);
        }
        this.#context.holdings.writes.put(this.#name, bytes, valueBytes(value));`,
      },
    ],
  },
  {
    name: 'a snapshot moves on',
    inLists: true,
    patches: [
      {
        file: SPACE,
        from: 'const value = root === 0 ? undefined : trees.get(root, this.#context.handle.epoch, length);',
        to: `const epoch = this.#context.handle.sequence % 8 === 0 ? 2 ** 53 : this.#context.handle.epoch;
          const value = root === 0 ? undefined : trees.get(root, epoch, length);`,
      },
    ],
  },
  {
    name: 'a scan mixes two states',
    inLists: true,
    patches: [
      { file: 'store/range-reader.ts', from: 'const CHUNK_FIRST = 64;', to: 'const CHUNK_FIRST = 2;' },
      {
        file: 'store/range-reader.ts',
        from: 'this.#root, this.#epoch, start,',
        to: 'this.#root, this.#asked === undefined ? this.#epoch : 2 ** 53, start,',
      },
    ],
  },
  {
    name: 'a scan does not show own writes',
    inLists: true,
    patches: [{ file: SPACE, from: 'const ownRoot = this.#own?.root ?? 0;', to: 'const ownRoot = 0;' }],
  },
];
