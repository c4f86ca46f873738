/*
 * The program that is killed: it loads itself, waits for an order on standard input, opens a store, says what it finds
 * in it, and writes until it is killed, acknowledging every transaction. Lines on standard output, written at once:
 *   ready               loaded
 *   opening             the next thing is to open the store
 *   open MS             it is open, and that took so many milliseconds
 *   opened {…}          what the check of the store found
 *   done LANE N         transaction N of the lane was answered
 *   checkpoint          one was asked for;      checkpointed   it is done
 *   closing             closing was asked for;  closed         it is done
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
  /** Only read: the check, again and again. */
  readonly reading: boolean;
  /** One checkpoint after the other. */
  readonly checkpoints: boolean;
  /** For the controls: no log, and transactions in two halves. */
  readonly logless: boolean;
  readonly torn: boolean;
}

/** What the check of an opened store found. */
export interface Opened {
  readonly problems: readonly string[];
  readonly counters: readonly number[];
}

/** Writes a line at once; a pipe that is full is waited for. */
function say(line: string): void {
  const bytes = Buffer.from(`${line}\n`);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
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

/** Control: what belongs together in two commits, so that a kill can come between them. */
async function writeTorn(engine: StorageEngine, lane: number, n: number): Promise<void> {
  await engine.put(counterKey(lane), counterValue(n));
  await new Promise((resolve) => setTimeout(resolve, 1));
  const { changes } = planOf(lane, n);
  await engine.batch(operationsOf(lane, n, changes));
}

async function run(order: Order): Promise<void> {
  const { directory, syncOnCommit, pageSize, bufferPoolSize, acknowledged } = order;
  say('opening');
  const begin = performance.now();
  const engine = await StorageEngine.open({
    backend: 'local',
    dataDirectory: directory,
    syncOnCommit,
    pageSize,
    bufferPoolSize,
    checkpointWalSize: '512KB',
    walFlushInterval: 5,
    walEnabled: !order.logless,
    readOnly: order.reading,
  });
  say(`open ${performance.now() - begin}`);
  const problems = checkLedger(engine, acknowledged);
  const report = await engine.verify();
  if (!report.ok) problems.push(...report.problems.map(({ message }) => `verify: ${message}`));
  const counters = Array.from({ length: LANES }, (_, lane) => counterOf(engine, lane));
  say(`opened ${JSON.stringify({ problems, counters } satisfies Opened)}`);
  if (order.reading) return readOn(engine, acknowledged);
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
        await (order.torn ? writeTorn : write)(engine, lane, n);
        say(`done ${lane} ${n}`);
      }
    });
    await Promise.all([...lanes, disturb(engine, order)]);
  }
  say('closing');
  await engine.close();
  say('closed');
}

async function readOn(engine: StorageEngine, acknowledged: readonly number[]): Promise<void> {
  for (;;) {
    const problems = checkLedger(engine, acknowledged);
    if (problems.length > 0) throw new Error(`reading: ${problems.join('; ')}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Readers and checkpoints beside the writers, so that old versions and unfinished checkpoints are about. */
async function disturb(engine: StorageEngine, order: Order): Promise<void> {
  const { seed, transactions, checkpoints, torn } = order;
  // The control's halves are there for everybody to see.
  if (torn) return;
  const random = new Random(seed);
  for (let round = 0; transactions === 0 || round < 5; round++) {
    const snapshot = engine.snapshot();
    await new Promise((resolve) => setTimeout(resolve, random.below(checkpoints ? 4 : 20)));
    const problems = checkLedger(snapshot, []);
    if (problems.length > 0) throw new Error(`snapshot: ${problems.join('; ')}`);
    snapshot.close();
    if (!checkpoints && !random.chance(0.3)) continue;
    say('checkpoint');
    await engine.checkpoint();
    say('checkpointed');
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
