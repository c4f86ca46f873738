/**
 * `aegis bench`: what this machine and this disk make of a store, in a few seconds. Writes at each level of durability,
 * beside the same bytes appended to a plain file with the same syncs; then reads.
 *
 * It is small and it is one run: machines are noisy, so the ratios say more than the rates.
 */
import { join } from 'node:path';
import type { Command } from 'commander';
import type { StorageConfig, StorageEngine } from '../../index.ts';
import { appendPlainly } from '../bench/plain.ts';
import { type BenchRecord, numbersFrom, recordsFrom } from '../bench/records.ts';
import type { Cli } from '../cli.ts';
import { makeTemporaryFolder, removeFolder } from '../demo/store.ts';
import { EXIT_INTERRUPTED } from '../exit.ts';
import { wholeNumber } from '../options.ts';
import { count, rate, time } from '../units.ts';

interface BenchOptions {
  readonly records: number;
  readonly synced: number;
  readonly seed: number;
}

/** One line of the answer. */
interface Row {
  readonly name: string;
  readonly operations: number;
  readonly milliseconds: number;
  /** How many times as fast as the plain file; absent for reads. */
  readonly ratio?: number;
}

const BATCH = 1000;
const CALLERS = 64;
const SEED_MAX = 2 ** 32 - 1;

export function addBench(program: Command, cli: Cli): void {
  program
    .command('bench')
    .description('measure puts, gets and scans on this machine, beside plain writes to a file')
    .option('-r, --records <number>', 'records to load and read', wholeNumber(1000, 10_000_000), 50_000)
    .option(
      '-s, --synced <number>',
      'puts that wait for the disk, one at a time',
      wholeNumber(1, 1_000_000),
      200,
    )
    .option('--seed <number>', 'what the order of keys comes from', wholeNumber(0, SEED_MAX), 1)
    .addHelpText(
      'after',
      `
The store is a new one in the folder for temporary files (TMPDIR), and removed at the end; --config says how it is
opened. A ratio of 2 is twice as fast as appending the same bytes to a plain file with a sync (fsync) after the same
number of records; callers at once share syncs, which a plain loop cannot.

Examples:
  aegis bench
  TMPDIR=/mnt/disk aegis bench --records 1000000 --json`,
    )
    .action(cli.action((options: BenchOptions) => bench(cli, options)));
}

async function bench(cli: Cli, options: BenchOptions): Promise<undefined> {
  const folder = makeTemporaryFolder('aegis-bench-');
  const forget = cli.surroundings.onInterrupt(() => {
    removeFolder(folder);
    process.exit(EXIT_INTERRUPTED);
  });
  try {
    const rows = await new Bench(cli, options, folder).run();
    if (cli.json) return void (await cli.out.json({ ...options, rows }));
    show(cli, options, rows);
  } finally {
    forget();
    removeFolder(folder);
  }
}

class Bench {
  readonly #cli: Cli;
  readonly #options: BenchOptions;
  readonly #folder: string;
  readonly #records: readonly BenchRecord[];
  readonly #rows: Row[] = [];

  constructor(cli: Cli, options: BenchOptions, folder: string) {
    this.#cli = cli;
    this.#options = options;
    this.#folder = folder;
    this.#records = recordsFrom(options.seed, options.records);
  }

  async run(): Promise<Row[]> {
    const { synced } = this.#options;
    const atOnce = Math.min(synced * CALLERS, this.#records.length);
    await this.#write('put, each waits for the disk', 'one', {}, synced, 1, async (engine, records) => {
      for (const { key, value } of records) await engine.put(key, value);
    });
    await this.#write(`put, ${CALLERS} callers at once`, 'many', {}, atOnce, 1, async (engine, records) => {
      const caller = async (first: number) => {
        for (let at = first; at < records.length; at += CALLERS) {
          const { key, value } = records[at] as BenchRecord;
          await engine.put(key, value);
        }
      };
      await Promise.all(Array.from({ length: CALLERS }, (_, first) => caller(first)));
    });
    const unsynced = { syncOnCommit: false };
    await this.#write(
      'put, synced within 50 ms',
      'relaxed',
      unsynced,
      this.#records.length,
      BATCH,
      async (engine, records) => {
        for (const { key, value } of records) engine.putSync(key, value);
      },
    );
    await this.#write(
      `batch of ${count(BATCH)}`,
      'batch',
      {},
      this.#records.length,
      BATCH,
      (engine, records) => this.#load(engine, records),
    );
    await this.#read();
    return this.#rows;
  }

  async #load(engine: StorageEngine, records: readonly BenchRecord[]): Promise<void> {
    for (let at = 0; at < records.length; at += BATCH) {
      await engine.batch(
        records.slice(at, at + BATCH).map(({ key, value }) => ({ type: 'put', key, value })),
      );
    }
  }

  /** Writes some records into a new store, and the same number of bytes into a plain file. */
  async #write(
    name: string,
    place: string,
    config: StorageConfig,
    operations: number,
    perSync: number,
    work: (engine: StorageEngine, records: readonly BenchRecord[]) => Promise<void>,
  ): Promise<void> {
    const records = this.#records.slice(0, operations);
    const engine = await this.#open(place, config);
    const begin = performance.now();
    await work(engine, records);
    const milliseconds = performance.now() - begin;
    await engine.close();
    const [first] = records as [BenchRecord];
    const piece = Buffer.concat([Buffer.from(first.key), first.value]);
    const plain = appendPlainly(join(this.#folder, `${place}.plain`), piece, records.length, perSync);
    this.#rows.push({ name, operations: records.length, milliseconds, ratio: plain / milliseconds });
  }

  /** Reads what the last store holds: the way from a closed store to a warm one is part of the first gets. */
  async #read(): Promise<void> {
    const engine = await this.#open('batch', {});
    const next = numbersFrom(this.#options.seed + 1);
    const gets = Math.min(this.#records.length, 200_000);
    const keys = Array.from(
      { length: gets },
      () => (this.#records[next() % this.#records.length] as BenchRecord).key,
    );
    this.#time('get, random', gets, () => {
      for (const key of keys) engine.get(key);
    });
    this.#time('scan', this.#records.length, () => {
      const scan = engine.scan();
      while (scan.nextMany(BATCH).length === BATCH);
    });
    await engine.close();
  }

  #time(name: string, operations: number, work: () => void): void {
    const begin = performance.now();
    work();
    this.#rows.push({ name, operations, milliseconds: performance.now() - begin });
  }

  async #open(place: string, config: StorageConfig): Promise<StorageEngine> {
    const { StorageEngine: Engine } = await import('../../index.ts');
    const dataDirectory = join(this.#folder, place);
    return Engine.open({
      compression: 'lz4',
      ...this.#cli.fileConfig(),
      ...config,
      backend: 'local',
      dataDirectory,
    });
  }
}

function show({ screen }: Cli, { seed, records }: BenchOptions, rows: readonly Row[]): void {
  screen.heading('bench', `${count(records)} records of 16-byte keys and 100-byte values, seed ${seed}`);
  const columns = [
    { title: 'what' },
    { title: 'operations', align: 'right' },
    { title: 'time', align: 'right' },
    { title: 'per second', align: 'right' },
    { title: 'plain file', align: 'right' },
  ] as const;
  const lines = rows.map(({ name, operations, milliseconds, ratio }) => [
    name,
    count(operations),
    time(milliseconds),
    rate(operations, milliseconds),
    ratio === undefined ? '' : `${ratio.toFixed(2)}x`,
  ]);
  screen.table(columns, lines);
}
