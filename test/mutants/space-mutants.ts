/* Mutants of the queue of those who wait for space, of space itself, and of what ends with a failure. */
import type { Mutant } from './mutant.ts';

const RESERVATIONS = 'src/txn/reservations.ts';
const RUN = 'src/txn/run-transaction.ts';
const TRANSACTION = 'src/txn/transaction.ts';

const reservations = (test: RegExp) => ({ file: 'txn/reservations.test.ts', test });
const reservationsSpace = (test: RegExp) => ({ file: 'txn/reservations-space.test.ts', test });
const space = (test: RegExp) => ({ file: 'txn/free-space.test.ts', test });
const outcome = (test: RegExp) => ({ file: 'engine/transaction-outcome.test.ts', test });

export const spaceMutants: readonly Mutant[] = [
  {
    name: 'failure: a checkpoint goes on when the store has failed',
    file: 'src/maintenance/checkpoint.ts',
    edits: [
      ['    if (failure) throw failure;\n    return run.steps.next();', '    return run.steps.next();'],
    ],
    killer: { file: 'defects/after-failure.test.ts', test: /./ },
  },
  {
    name: 'reservations: a blocking request that is refused leaves unwritten what it let in before it',
    file: RESERVATIONS,
    edits: [['if (pipeline.queue.length > 0) pipeline.schedule();', '']],
    killer: reservations(/leaves nothing unwritten/),
  },
  {
    name: 'reservations: without space a checkpoint is tried over what is still queued',
    file: RESERVATIONS,
    edits: [['if (ticket.isShort && pipeline.queue.length > 0) return;', '']],
    killer: reservationsSpace(/applied first/),
  },
  {
    name: 'reservations: without space checkpoints are tried for ever',
    file: RESERVATIONS,
    edits: [['ticket.isShort && !ticket.freed ?', 'ticket.isShort ?']],
    killer: reservationsSpace(/one checkpoint is tried/),
  },
  {
    name: 'reservations: one that is refused wakes nobody',
    file: RESERVATIONS,
    edits: [
      ['`close` can go on.\n      this.#parts.pipeline.resume();', '`close` can go on.\n      this.serve();'],
    ],
    killer: reservationsSpace(/can gain nothing/),
  },
  {
    name: 'reservations: who comes late is admitted before those who wait',
    file: RESERVATIONS,
    edits: [
      ['if (this.#length > 0 || request.ready?.(false) === false)', 'if (request.ready?.(false) === false)'],
    ],
    killer: reservations(/in the order of their coming/),
  },
  {
    name: 'reservations: a blocking request does not wait for those that are not ready',
    file: RESERVATIONS,
    edits: [['    request.ready?.(true);\n', '']],
    killer: reservations(/who is not ready/),
  },
  {
    name: 'reservations: a log that is too long is shortened while that gains nothing',
    file: RESERVATIONS,
    edits: [['if (pipeline.queue.length === 0) limit.shorten();', 'limit.shorten();']],
    killer: reservations(/no checkpoint is begun/),
  },
  {
    name: 'turns: a large batch is put in order in one',
    file: 'src/txn/taken-batch.ts',
    edits: [['this.#try(SLICE);', 'this.#try(Number.POSITIVE_INFINITY);']],
    killer: { file: 'txn/large-batches.test.ts', test: /more turns than one/ },
  },
  {
    name: 'reservations: an admission that frees space lets others past it',
    file: RESERVATIONS,
    edits: [['if (this.#serving || this.#length === 0) return;', 'if (this.#length === 0) return;']],
    killer: reservations(/nobody past those before/),
  },
  {
    name: 'free space: paths are counted for each operation, however few pages there are',
    file: 'src/txn/free-space.ts',
    edits: [
      ['present += Math.min(operations, Math.ceil(level));', 'present += operations;'],
      ['    present = Math.min(present, pageCount);\n', ''],
    ],
    killer: space(/thousands of small puts/),
  },
  {
    name: 'free space: a key counts as often as it was written',
    file: 'src/txn/writer.ts',
    edits: [['    writes.measure();\n', '']],
    killer: space(/is there once/),
  },
  {
    name: 'transaction: the closing of the store under it is no failure',
    file: TRANSACTION,
    edits: [
      [
        "      if (!context.handle.isOpen) throw new AegisError('CLOSED', 'the engine was closed before the commit');\n      await this.commit();",
        '      if (context.handle.isOpen) await this.commit();',
      ],
    ],
    killer: outcome(/closed under its work/),
  },
  {
    name: 'transaction: a failed commit that the work kept to itself is forgotten',
    file: TRANSACTION,
    edits: [['    if (context.failure !== undefined) throw context.failure;\n', '']],
    killer: outcome(/not lost with the error/),
  },
  {
    name: 'transaction: a commit that the work did not wait for is not waited for',
    file: TRANSACTION,
    edits: [['    await this.#committing;\n', '']],
    killer: outcome(/durable and visible when it resolves/),
  },
  {
    name: 'transaction: losers try again all at once',
    file: RUN,
    edits: [['      turn ??= await retries.turn();\n', '']],
    killer: outcome(/two hundred/),
  },
  {
    name: 'free space: going back asks for nothing but the key',
    file: 'src/store/private-tree.ts',
    edits: [
      [
        'this.#trees.beforePrivate(key.length + bytes, bytes < this.#trees.pager.core.pageSize);',
        'this.#trees.beforePrivate(key.length, bytes >= 0);',
      ],
    ],
    killer: { file: 'txn/private-space.test.ts', test: /going back to a savepoint, to a long value/ },
  },
  {
    name: 'free space: private pages take what commits were promised',
    file: 'src/engine/engine-core.ts',
    edits: [
      [
        '(bytes, isDelete) =>\n        freeSpace.ensurePrivate(bytes, pipeline.queue.load, isDelete)',
        '() => undefined',
      ],
    ],
    killer: { file: 'txn/private-space.test.ts', test: /many long values/ },
  },
];
