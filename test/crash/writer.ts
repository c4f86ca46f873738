/*
 * The program that is killed: it loads itself, waits for an order on standard input, opens a store, says what it finds
 * in it, and writes until it is killed, acknowledging every transaction. Lines on standard output, written at once:
 *   ready               loaded
 *   opened {…}          what the check of the store found
 *   done LANE N         transaction N of the lane was answered
 *   failed TEXT         anything that should not have happened
 */
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Transaction } from '../../src/index.ts';
import { StorageEngine } from '../../src/index.ts';
import { Random } from '../wal/random.ts';
import {
  type Change,
  checkLedger,
  counterKey,
  counterOf,
  counterValue,
  LANES,
  planOf,
  slotKey,
  valueFor,
} from './ledger.ts';

/** What the parent orders. */
export interface Order {
  readonly directory: string;
  readonly syncOnCommit: boolean;
  readonly pageSize: number;
  readonly bufferPoolSize: number;
  /** Only calls that never yield. */
  readonly blocking: boolean;
  /** Last acknowledged transaction of every lane. */
  readonly acknowledged: readonly number[];
  readonly seed: number;
  /** Close and end after so many transactions of a lane; 0: go on until killed. */
  readonly transactions: number;
}

/** What the check of an opened store found. */
export interface Opened {
  readonly problems: readonly string[];
  readonly counters: readonly number[];
  /** Milliseconds that opening took. */
  readonly opening: number;
}

function say(line: string): void {
  writeSync(1, `${line}\n`);
}

function operationsOf(lane: number, n: number, changes: readonly Change[]) {
  const puts = changes.map((change) => {
    const key = slotKey(lane, change.slot);
    if (change.size === undefined) return { type: 'delete', key } as const;
    return { type: 'put', key, value: valueFor(lane, n, change) } as const;
  });
  // In the middle: neither the first nor the last record may vouch for the rest.
  puts.splice(puts.length >> 1, 0, { type: 'put', key: counterKey(lane), value: counterValue(n) });
  return puts;
}

function fill(tx: Transaction, lane: number, n: number, changes: readonly Change[]): void {
  for (const operation of operationsOf(lane, n, changes)) {
    if (operation.type === 'put') tx.put(operation.key, operation.value);
    else tx.delete(operation.key);
  }
}

async function write(engine: StorageEngine, lane: number, n: number): Promise<void> {
  const { kind, changes } = planOf(lane, n);
  if (kind === 'put') await engine.put(counterKey(lane), counterValue(n));
  else if (kind === 'batch') await engine.batch(operationsOf(lane, n, changes));
  else if (kind === 'transaction') await engine.transaction((tx) => fill(tx, lane, n, changes));
  else if (kind === 'serializable') {
    const tx = engine.beginTransaction({ isolation: 'serializable' });
    if (counterOf(tx, lane) !== n - 1) throw new Error(`lane ${lane} is not at ${n - 1}`);
    tx.count({ prefix: `lane/${lane}/` });
    fill(tx, lane, n, changes);
    await tx.commit();
  } else if (kind === 'commit') {
    const tx = engine.beginTransaction();
    fill(tx, lane, n, changes);
    await tx.commit({ sync: n % 2 === 0 });
  } else writeBlocking(engine, lane, n);
}

function writeBlocking(engine: StorageEngine, lane: number, n: number): void {
  const { kind, changes } = planOf(lane, n, true);
  if (kind === 'putSync') engine.putSync(counterKey(lane), counterValue(n));
  else if (kind === 'batchSync') engine.batchSync(operationsOf(lane, n, changes));
  else {
    const tx = engine.beginTransaction();
    fill(tx, lane, n, changes);
    tx.commitSync();
  }
}

async function run(order: Order): Promise<void> {
  const { directory, syncOnCommit, pageSize, bufferPoolSize, acknowledged } = order;
  const begin = performance.now();
  const engine = await StorageEngine.open({
    backend: 'local',
    dataDirectory: directory,
    syncOnCommit,
    pageSize,
    bufferPoolSize,
    checkpointWalSize: '512KB',
    walFlushInterval: 5,
  });
  const opening = performance.now() - begin;
  const problems = checkLedger(engine, acknowledged);
  const report = await engine.verify();
  if (!report.ok) problems.push(...report.problems.map(({ message }) => `verify: ${message}`));
  const counters = Array.from({ length: LANES }, (_, lane) => counterOf(engine, lane));
  say(`opened ${JSON.stringify({ problems, counters, opening } satisfies Opened)}`);
  const last = order.transactions === 0 ? Number.POSITIVE_INFINITY : order.transactions;
  if (order.blocking) {
    for (let step = 1; step <= last; step++) {
      for (const [lane, counter] of counters.entries()) {
        writeBlocking(engine, lane, counter + step);
        say(`done ${lane} ${counter + step}`);
      }
    }
  } else {
    const lanes = counters.map(async (counter, lane) => {
      for (let n = counter + 1; n <= counter + last; n++) {
        await write(engine, lane, n);
        say(`done ${lane} ${n}`);
      }
    });
    await Promise.all([...lanes, disturb(engine, order)]);
  }
  await engine.close();
}

/** Readers and checkpoints beside the writers, so that old versions and unfinished checkpoints are about. */
async function disturb(engine: StorageEngine, { seed, transactions }: Order): Promise<void> {
  const random = new Random(seed);
  for (let round = 0; transactions === 0 || round < 5; round++) {
    const snapshot = engine.snapshot();
    await new Promise((resolve) => setTimeout(resolve, random.below(20)));
    const problems = checkLedger(snapshot, []);
    if (problems.length > 0) throw new Error(`snapshot: ${problems.join('; ')}`);
    snapshot.close();
    if (random.chance(0.3)) await engine.checkpoint();
  }
}

process.on('unhandledRejection', (error) => {
  say(`failed unhandled ${error}`);
  process.exit(1);
});
createInterface({ input: process.stdin }).once('line', (line) => {
  run(JSON.parse(line) as Order).then(
    () => process.exit(0),
    (error: unknown) => {
      const text =
        error instanceof Error ? `${(error as { code?: string }).code} ${error.stack}` : String(error);
      say(`failed ${text.replaceAll('\n', ' | ')}`);
      process.exit(1);
    },
  );
});
say('ready');
