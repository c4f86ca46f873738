/*
 * The hot path against lmdb, both in one process and in turns: random load, point reads, scans, ordered load, and
 * durable puts by many callers at once. See README.md for how to run it and how to read what it prints.
 *
 * Every read is summed up and compared with what was written, and at the end of every round whole contents are
 * compared: a side that is wrong ends the run with exit status 1. Nothing here asserts a time.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Data } from './support/data.ts';
import { foldBytes, makeData } from './support/data.ts';
import { Report, tableOf } from './support/report.ts';
import type { Side } from './support/sides.ts';
import { Aegis, Lmdb } from './support/sides.ts';

/** Callers that put at the same time in the durable part. */
const CALLERS = 64;
/** Pairs of samples that reading all keys once is cut into. */
const SLICES = 10;
/** Ratios the project has set itself, for full size. */
const GOALS = { get: 1.5, scan: 4, load: 3 } as const;

const { values: options } = parseArgs({
  options: {
    smoke: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    records: { type: 'string' },
    rounds: { type: 'string' },
    seed: { type: 'string', default: '1' },
    /** Bytes of each value that repeat others: what compression can save. */
    repeated: { type: 'string', default: '50' },
    'lmdb-writemap': { type: 'boolean', default: false },
    directory: { type: 'string', default: tmpdir() },
  },
});

const records = Number(options.records ?? (options.smoke ? 20_000 : 1_000_000));
const rounds = Number(options.rounds ?? (options.smoke ? 1 : 3));
const report = new Report();
const facts: Record<string, unknown> = {};

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Nanoseconds an operation, with the garbage of what came before collected. */
async function time(operations: number, work: () => unknown): Promise<number> {
  globalThis.gc?.();
  const start = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - start) / operations;
}

/** Times both sides, one right after the other; who comes first alternates. */
async function pair(
  name: string,
  operations: number,
  turn: number,
  ours: () => unknown,
  peer: () => unknown,
  goal?: number,
): Promise<void> {
  let first = 0;
  if (turn % 2 === 1) first = await time(operations, peer);
  const own = await time(operations, ours);
  const other = turn % 2 === 1 ? first : await time(operations, peer);
  report.add(name, { ours: own, peer: other }, options.smoke ? undefined : goal);
}

/** Runs work whose checksum is known. */
function checked(expected: number, work: () => number): () => void {
  return () => {
    if (work() !== expected) throw new Error('what was read is not what was written');
  };
}

/** Compares all records of a side with what it was given. */
function compare(side: Side, data: Data): void {
  let at = 0;
  for (const [key, value] of side.entries()) {
    const i = data.sorted[at++];
    if (i === undefined || data.keys[i]!.compare(key) !== 0 || data.values[i]!.compare(value) !== 0) {
      throw new Error('the contents are not what was written');
    }
  }
  if (at !== data.count) throw new Error(`${at} records are there instead of ${data.count}`);
}

async function withBoth(
  folder: string,
  data: Data,
  durable: boolean,
  work: (ours: Aegis, peer: Lmdb) => Promise<void>,
): Promise<void> {
  const ours = await Aegis.open(join(folder, 'aegis'), data, durable);
  const peer = new Lmdb(join(folder, 'lmdb'), data, durable, options['lmdb-writemap']);
  try {
    await work(ours, peer);
  } finally {
    await ours.close();
    await peer.close();
  }
}

async function randomRound(folder: string, data: Data, round: number): Promise<void> {
  const order = Uint32Array.from(data.keys.keys());
  await withBoth(folder, data, false, async (ours, peer) => {
    // Each side is finished before the other starts: what either does in the background is its own time.
    await pair(
      'random load',
      data.count,
      round,
      () => ours.load(order),
      () => peer.load(order),
      GOALS.load,
    );
    const deferred = await time(data.count, () => ours.settle());
    const { pages, data: file, transactions, checkpoints } = ours.engine.stats();
    Object.assign(facts, {
      commits: transactions.commits,
      checkpoints,
      lastCheckpointNs: Math.round(deferred),
      compressionRatio: Number(file.compressionRatio.toFixed(2)),
      pages: pages.count,
      ourBytes: await ours.size(),
      lmdbBytes: await peer.size(),
    });
    await reads(ours, peer, data, round);
    compare(ours, data);
    compare(peer, data);
  });
}

async function reads(ours: Side, peer: Side, data: Data, round: number): Promise<void> {
  const size = Math.ceil(data.count / SLICES);
  for (const way of ['get', 'getMany'] as const) {
    for (let slice = 0; slice < SLICES; ++slice) {
      const keys = data.readKeys.slice(slice * size, (slice + 1) * size);
      const positions = data.reads.subarray(slice * size, (slice + 1) * size);
      const sum = positions.reduce((folded, i) => foldBytes(folded, data.values[i]!), 0);
      const name = way === 'get' ? 'random get' : 'getMany(1000), lmdb get';
      const [own, other] = [() => ours[way](keys), () => peer[way](keys)];
      const goal = way === 'get' ? GOALS.get : undefined;
      await pair(name, keys.length, round + slice, checked(sum, own), checked(sum, other), goal);
    }
  }
  const all = data.sorted.reduce(
    (folded, i) => foldBytes(foldBytes(folded, data.keys[i]!), data.values[i]!),
    0,
  );
  for (const way of ['scanMany', 'scan'] as const) {
    for (let turn = 0; turn < 3; ++turn) {
      const name = way === 'scan' ? 'full scan, for of' : 'full scan, nextMany(1000)';
      const [own, other] = [() => ours[way](), () => peer[way]()];
      await pair(name, data.count, round + turn, checked(all, own), checked(all, other), GOALS.scan);
    }
  }
}

async function orderedRound(folder: string, data: Data, round: number): Promise<void> {
  await withBoth(folder, data, false, async (ours, peer) => {
    const load = (side: Side) => () => side.load(data.sorted);
    await pair('load in key order', data.count, round, load(ours), load(peer));
    compare(ours, data);
    compare(peer, data);
  });
}

/** Many callers, each putting one record after the other, every put durable before it resolves. */
async function durableRound(folder: string, data: Data, round: number): Promise<void> {
  const each = Math.ceil((options.smoke ? 1_000 : 20_000) / CALLERS);
  const puts = each * CALLERS;
  const callers = (side: Side) => () =>
    Promise.all(
      Array.from({ length: CALLERS }, async (_, caller) => {
        for (let i = 0; i < each; ++i) await side.putDurably(caller * each + i);
      }),
    );
  await withBoth(folder, data, true, async (ours, peer) => {
    const before = ours.engine.stats();
    await pair(`durable put, ${CALLERS} callers`, puts, round, callers(ours), callers(peer));
    const after = ours.engine.stats();
    const commits = after.transactions.commits - before.transactions.commits;
    const syncs = after.log.syncs - before.log.syncs;
    Object.assign(facts, {
      durableCommits: commits,
      durableSyncs: syncs,
      commitsPerSync: Number((commits / syncs).toFixed(1)),
    });
    for (const side of [ours, peer]) {
      let found = 0;
      for (const _ of side.entries()) ++found;
      if (found !== puts) throw new Error(`${found} durable records are there instead of ${puts}`);
    }
  });
}

async function main(): Promise<void> {
  const { version } = createRequire(import.meta.url)('../../bench/node_modules/lmdb/package.json') as {
    version: string;
  };
  const machine = `${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores, Node ${process.versions.node}`;
  say(`${records} records, ${rounds} rounds; ${machine}; lmdb ${version}`);
  const data = makeData(records, Number(options.seed), Number(options.repeated));
  const folder = mkdtempSync(join(options.directory, 'aegis-bench-'));
  try {
    for (let round = 0; round < rounds; ++round) {
      say(`round ${round + 1}`);
      await randomRound(folder, data, round);
      await orderedRound(folder, data, round);
      await durableRound(folder, data, round);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const rows = report.summary();
  if (options.json) {
    process.stdout.write(
      `${JSON.stringify({ records, rounds, machine, lmdb: version, rows, facts }, undefined, 2)}\n`,
    );
    return;
  }
  process.stdout.write(`${tableOf(rows)}\n\n`);
  for (const [name, value] of Object.entries(facts)) process.stdout.write(`${name}: ${value}\n`);
}

await main();
