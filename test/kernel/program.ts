/*
 * The children of the real-kernel tests. A child waits for orders, one JSON line each, and answers in lines written at
 * once, so that what it said before it died is all there:
 *   ready                     loaded
 *   opened {…}                a store is open, and what the check of it found
 *   done T, relaxed T         commit T was answered: durable, or not asked to be
 *   refused {…}               a commit, or opening, was refused
 *   end {…}                   the order is carried out
 *   stray TEXT                anything that should not have happened
 * The package under test is the built one, whose path the order names; it is loaded after `node:fs` was prepared.
 */
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { StorageConfig, StorageEngine, Transaction } from '../../src/index.ts';
import { type Change, counterKey, counterOf, planOf, slotKey, valueFor } from '../crash/ledger.ts';
import { Random } from '../wal/random.ts';
import { checkDisk, type DiskOrder, fillDisk } from './disk.ts';
import { type Control, type Fault, Syncs } from './sabotage.ts';
import { checkTickets, countedValue, standingOf } from './tickets.ts';

interface Order {
  readonly role: 'write' | 'create' | 'check' | 'fill' | 'checkDisk';
  /** URL of the package's main module. */
  readonly package: string;
  readonly directory: string;
  readonly config: Partial<StorageConfig>;
  readonly seed: number;
  /** Only calls that never yield. */
  readonly blocking: boolean;
  readonly control?: Control;
  readonly fault?: Fault;
  /** Bounds of the last commit a store may be found with. */
  readonly least: number;
  readonly most?: number;
  /** How many keys there must be beside the ledger's. */
  readonly others?: number;
  /** Keep the store open until a line comes; then write on, and keep it open until another one. */
  readonly hold?: boolean;
}

/** What an error says of itself. */
interface Refusal {
  readonly code: string;
  readonly errno: string | undefined;
  readonly operation: string | undefined;
  /** Whether a sync had failed before the call began. */
  readonly late?: boolean;
}

function say(line: string): void {
  const bytes = Buffer.from(`${line}\n`);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      // The reader is slow, and the pipe full.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}

function refusal(error: unknown, late = false): Refusal {
  const { code = String(error), errno, operation } = error as Partial<Refusal>;
  return { code, errno, operation, late };
}

const lines: string[] = [];
const waiting: ((line: string) => void)[] = [];

function nextLine(): Promise<string> {
  const line = lines.shift();
  return line === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(line);
}

// --- writing --------------------------------------------------------------------------------------------------

/** Writes the ledger's transactions, each with the ticket of its turn. */
class Writer {
  readonly #engine: StorageEngine;
  readonly #syncOnCommit: boolean;
  #tickets: number;
  /** Last commit that was answered. */
  answered: number;
  /** Highest ticket of a commit that may or may not survive. */
  unknown = 0;
  readonly refusals: Refusal[] = [];
  /** Commits answered although they were not when a sync failed. */
  late = 0;
  /** Last commit that the engine had answered when the first sync failed; its caller may hear of it later. */
  #before = Number.POSITIVE_INFINITY;

  constructor(engine: StorageEngine, syncOnCommit: boolean, syncs: Syncs) {
    this.#engine = engine;
    this.#syncOnCommit = syncOnCommit;
    this.#tickets = standingOf(engine).last;
    this.answered = this.#tickets;
    syncs.onFailure = () => {
      this.#before = engine.stats().sequence;
    };
  }

  /** Carries out transaction n of a lane; answers false when it was refused. */
  async write(lane: number, n: number): Promise<boolean> {
    const late = this.#isLate;
    const { kind, changes } = planOf(lane, n);
    if (kind === 'put' || kind === 'putSync' || kind === 'batchSync' || kind === 'commitSync') {
      if (kind !== 'put') return this.writeBlocking(lane, n);
      const ticket = ++this.#tickets;
      const put = this.#engine.put(counterKey(lane), countedValue(n, ticket));
      return this.#answer(ticket, this.#syncOnCommit, put, late);
    }
    if (kind === 'batch') {
      const ticket = ++this.#tickets;
      const batch = this.#engine.batch(operationsOf(lane, n, changes, ticket));
      return this.#answer(ticket, this.#syncOnCommit, batch, late);
    }
    // A commit in four says itself whether it is to be synced.
    const sync = kind === 'commit' && n % 4 < 2 ? n % 4 === 0 : undefined;
    const isolation = kind === 'serializable' ? 'serializable' : 'snapshot';
    try {
      const tx = this.#engine.beginTransaction({ isolation });
      if (counterOf(tx, lane) !== n - 1) say(`stray lane ${lane} is not at ${n - 1}`);
      if (kind === 'serializable') tx.count({ prefix: `lane/${lane}/` });
      const ticket = ++this.#tickets;
      fill(tx, lane, n, changes, ticket);
      const commit = tx.commit(sync === undefined ? {} : { sync }).then(({ sequence }) => {
        if (sequence !== ticket) say(`stray commit ${sequence} had ticket ${ticket}`);
      });
      return await this.#answer(ticket, sync ?? this.#syncOnCommit, commit, late);
    } catch (error) {
      return this.#refused(error, 0, late);
    }
  }

  writeBlocking(lane: number, n: number): boolean {
    const late = this.#isLate;
    const { kind, changes } = planOf(lane, n, true);
    const ticket = ++this.#tickets;
    try {
      if (kind === 'putSync') this.#engine.putSync(counterKey(lane), countedValue(n, ticket));
      else if (kind === 'batchSync') this.#engine.batchSync(operationsOf(lane, n, changes, ticket));
      else {
        const tx = this.#engine.beginTransaction();
        fill(tx, lane, n, changes, ticket);
        const { sequence } = tx.commitSync();
        if (sequence !== ticket) say(`stray commit ${sequence} had ticket ${ticket}`);
      }
    } catch (error) {
      return this.#refused(error, ticket, late);
    }
    return this.#done(ticket, this.#syncOnCommit);
  }

  async checkpoint(): Promise<void> {
    const late = this.#isLate;
    try {
      const { sequence } = await this.#engine.checkpoint();
      say(`done ${sequence}`);
    } catch (error) {
      this.#refused(error, 0, late);
    }
  }

  /** Whether a sync has failed already. */
  get #isLate(): boolean {
    return this.#before < Number.POSITIVE_INFINITY;
  }

  async #answer(ticket: number, sync: boolean, promise: Promise<unknown>, late: boolean): Promise<boolean> {
    try {
      await promise;
    } catch (error) {
      return this.#refused(error, ticket, late);
    }
    return this.#done(ticket, sync);
  }

  #done(ticket: number, sync: boolean): boolean {
    if (ticket > this.#before) this.late++;
    this.answered = Math.max(this.answered, ticket);
    say(`${sync ? 'done' : 'relaxed'} ${ticket}`);
    return true;
  }

  #refused(error: unknown, ticket: number, late: boolean): boolean {
    const what = refusal(error, late);
    if (what.code === 'COMMIT_UNKNOWN') this.unknown = Math.max(this.unknown, ticket);
    this.refusals.push(what);
    say(`refused ${JSON.stringify(what)}`);
    return false;
  }
}

function operationsOf(lane: number, n: number, changes: readonly Change[], ticket: number) {
  const operations = changes.map((change) => {
    const key = slotKey(lane, change.slot);
    if (change.size === undefined) return { type: 'delete', key } as const;
    return { type: 'put', key, value: valueFor(lane, n, change) } as const;
  });
  const value = countedValue(n, ticket);
  operations.splice(operations.length >> 1, 0, { type: 'put', key: counterKey(lane), value });
  return operations;
}

function fill(tx: Transaction, lane: number, n: number, changes: readonly Change[], ticket: number): void {
  for (const operation of operationsOf(lane, n, changes, ticket)) {
    if (operation.type === 'put') tx.put(operation.key, operation.value);
    else tx.delete(operation.key);
  }
}

/** Writes until killed, or until the store has failed; then says what the failed store still does. */
async function write(order: Order): Promise<void> {
  const syncs = new Syncs(order.fault, order.control);
  const { StorageEngine } = await load(order);
  let engine: StorageEngine;
  try {
    engine = await StorageEngine.open({ ...order.config, backend: 'local', dataDirectory: order.directory });
  } catch (error) {
    say(`end ${JSON.stringify({ opening: refusal(error), failed: syncs.failed })}`);
    return;
  }
  const { counters } = standingOf(engine);
  say(`opened ${JSON.stringify({ problems: checkTickets(engine, order.least, order.most) })}`);
  syncs.isOpen = true;
  const writer = new Writer(engine, order.config.syncOnCommit ?? true, syncs);
  if (order.blocking) {
    for (let step = 1; writer.refusals.length === 0; step++) {
      for (const [lane, counter] of counters.entries())
        if (!writer.writeBlocking(lane, counter + step)) break;
      if (step % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  } else {
    const lanes = counters.map(async (counter, lane) => {
      for (let n = counter + 1; writer.refusals.length === 0; n++) await writer.write(lane, n);
    });
    await Promise.all([...lanes, disturb(engine, writer, order.seed)]);
  }
  await tellFailure(engine, writer, syncs);
}

/** Readers and checkpoints beside the writers. */
async function disturb(engine: StorageEngine, writer: Writer, seed: number): Promise<void> {
  const random = new Random(seed);
  while (writer.refusals.length === 0) {
    const snapshot = engine.snapshot();
    await new Promise((resolve) => setTimeout(resolve, random.below(20)));
    const problems = checkTickets(snapshot, 0);
    if (problems.length > 0) say(`stray snapshot: ${problems.join('; ')}`);
    snapshot.close();
    if (random.chance(0.3)) await writer.checkpoint();
  }
}

async function tellFailure(engine: StorageEngine, writer: Writer, syncs: Syncs): Promise<void> {
  // As it is visible: nothing that was not answered, everything that was.
  const problems = checkTickets(engine, writer.answered, writer.answered);
  const tries = [
    () => engine.put('x', ''),
    () => engine.delete('x'),
    () => engine.batch([{ type: 'put', key: 'x', value: '' }]),
    () => engine.putSync('x', ''),
    () => engine.transaction((tx) => tx.put('x', '')),
    () => engine.checkpoint(),
  ];
  const later: Refusal[] = [];
  for (const attempt of tries) {
    const late = syncs.failed !== undefined;
    try {
      await attempt();
      say('stray a failed store took a write');
    } catch (error) {
      later.push(refusal(error, late));
    }
  }
  const { answered, unknown, late, refusals } = writer;
  let closing: Refusal | undefined;
  const isLate = syncs.failed !== undefined;
  await engine.close().catch((error: unknown) => {
    closing = refusal(error, isLate);
  });
  say(
    `end ${JSON.stringify({ problems, later, answered, unknown, late, refusals, closing, failed: syncs.failed })}`,
  );
}

// --- making stores --------------------------------------------------------------------------------------------

/** Makes one store after the other, with a few commits in each; `sweep` removes them. */
async function create(order: Order): Promise<void> {
  const syncs = new Syncs(undefined, order.control);
  const { StorageEngine } = await load(order);
  const { rmSync } = await import('node:fs');
  let first = 1;
  for (let number = 1; ; number++) {
    const directory = `${order.directory}/store-${number}`;
    say(`making ${number}`);
    const engine = await StorageEngine.open({ ...order.config, backend: 'local', dataDirectory: directory });
    say(`made ${number}`);
    const writer = new Writer(engine, true, syncs);
    for (let n = 1; n <= 3; n++) if (await writer.write(0, n)) say(`kept ${number} ${writer.answered}`);
    await engine.close();
    // One folder in so many: sweeping happens between two stores only.
    if (lines.length === 0 && number - first < 60) continue;
    await nextLine();
    for (; first <= number; first++) {
      rmSync(`${order.directory}/store-${first}`, { recursive: true, force: true });
    }
    say(`swept ${number}`);
  }
}

// --- checking -------------------------------------------------------------------------------------------------

/** Opens a store, checks it, writes to it and closes it. */
async function check(order: Order): Promise<void> {
  const { StorageEngine } = await load(order);
  const problems: string[] = [];
  let last = 0;
  try {
    const engine = await StorageEngine.open({
      ...order.config,
      backend: 'local',
      dataDirectory: order.directory,
    });
    problems.push(...checkTickets(engine, order.least, order.most));
    const others = engine.count({ prefix: 'more/' });
    if (order.others !== undefined && others !== order.others) {
      problems.push(`lost: ${others} of ${order.others} other keys`);
    }
    const report = await engine.verify();
    if (!report.ok) problems.push(...report.problems.map(({ message }) => `verify: ${message}`));
    last = standingOf(engine).last;
    if (order.hold) {
      say(`opened ${JSON.stringify({ problems, last })}`);
      await nextLine();
    }
    await engine.put('more/after', `${last}`);
    engine.putSync('more/blocking', `${last}`);
    if (order.hold) {
      const random = new Random(last);
      for (let i = 0; i < 120; i++) {
        await engine.put(
          `more/${i}`,
          Uint8Array.from({ length: 6000 }, () => random.below(256)),
        );
        if (i === 60) await engine.checkpoint();
      }
      say('written');
      await nextLine();
    }
    await engine.close();
  } catch (error) {
    const { code, errno, operation } = refusal(error);
    problems.push(
      `${code === 'NOT_FOUND' ? 'lost' : 'unreadable'}: ${code} ${errno} ${operation} ${(error as Error).message}`,
    );
  }
  say(`end ${JSON.stringify({ problems, last })}`);
}

async function load(order: Order): Promise<typeof import('../../src/index.ts')> {
  return (await import(order.package)) as typeof import('../../src/index.ts');
}

async function carryOut(order: Order): Promise<void> {
  if (order.role === 'write') await write(order);
  else if (order.role === 'create') await create(order);
  else if (order.role === 'check') await check(order);
  else {
    if (order.control) new Syncs(undefined, order.control);
    const task = { order: order as unknown as DiskOrder, say, nextLine, load: () => load(order) };
    await (order.role === 'fill' ? fillDisk(task) : checkDisk(task));
  }
}

async function main(): Promise<void> {
  for (;;) {
    const line = await nextLine();
    try {
      await carryOut(JSON.parse(line) as Order);
    } catch (error) {
      say(`stray ${String((error as Error).stack).replaceAll('\n', ' | ')}`);
    }
  }
}

process.on('unhandledRejection', (error) => say(`stray unhandled ${error}`));
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const next = waiting.shift();
    if (next === undefined) lines.push(line);
    else next(line);
  })
  .on('close', () => process.exit(0));
void main();
say('ready');
