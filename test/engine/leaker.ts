/*
 * The program that leaves things open: node --expose-gc leaker FOLDER CYCLES SAMPLES SEED KEEP. Writes a sample of
 * what the process holds, a JSON line each, every CYCLES / SAMPLES cycles, after the collector ran.
 */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AegisError, StorageEngine } from '../../src/index.ts';
import { randomFrom } from '../support/codec-data.ts';

/** What the process holds. */
export interface Sample {
  readonly rss: number;
  readonly heap: number;
  readonly external: number;
  readonly descriptors: number;
  readonly openSnapshots: number;
}

const [folder, cycles, samples, seed, keep] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
];
const random = randomFrom(Number(seed));
const collect = (globalThis as unknown as { gc: () => void }).gc;
/** The control: what is never let go. */
const kept: unknown[] = [];
let places = 0;

const small = { pageSize: 4096, bufferPoolSize: 64 * 4096, checkpointWalSize: '512KB' } as const;
const main = join(folder, 'main');
const other = join(folder, 'other');
const text = join(folder, 'text');

async function refusedOpen(code: string, dataDirectory: string, readOnly = false): Promise<void> {
  try {
    await StorageEngine.open({ backend: 'local', dataDirectory, readOnly, ...small });
  } catch (error) {
    if (error instanceof AegisError && error.code === code) return;
    throw error;
  }
  throw new Error(`${dataDirectory} was not refused with ${code}`);
}

/** One thing that is begun and left. */
async function cycle(engine: StorageEngine, kind: number): Promise<unknown> {
  if (kind < 3) {
    const scan = engine.scan();
    scan.next();
    return scan;
  }
  if (kind < 5) {
    const snapshot = engine.snapshot();
    const scan = snapshot.scan({ prefix: 'key 1' });
    scan.next();
    return [snapshot, scan];
  }
  if (kind < 8) {
    const tx = engine.beginTransaction({ isolation: kind === 5 ? 'snapshot' : 'serializable' });
    tx.put(`key ${random(100)}`, 'never committed');
    tx.scan().next();
    return tx;
  }
  if (kind < 10) return engine.put(`key ${random(100)}`, 'x'.repeat(random(300)));
  if (kind < 12) {
    // The control closes none, so each has a place of its own.
    const dataDirectory = keep === 'true' ? `${other}-${++places}` : other;
    const opened = await StorageEngine.open({ backend: 'local', dataDirectory, ...small });
    const left = [opened.scan(), opened.snapshot(), opened.beginTransaction()];
    await opened.put('key', 'x');
    if (keep !== 'true') await opened.close();
    return [opened, left];
  }
  if (kind < 14) {
    const opened = await StorageEngine.open({ backend: 'memory', ...small });
    await opened.put('key', 'x');
    await opened.close();
    return undefined;
  }
  if (kind === 14) await refusedOpen('LOCKED', main, random(2) === 0);
  else if (kind === 15) await refusedOpen('NOT_FOUND', join(folder, 'absent'), true);
  else await refusedOpen('CORRUPTION', text);
  return undefined;
}

/** Lets finalizers run, which come in later turns. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function run(): Promise<void> {
  const made = await StorageEngine.open({ backend: 'local', dataDirectory: text, ...small });
  await made.close();
  writeFileSync(join(text, 'data'), Buffer.alloc(20_000));
  const engine = await StorageEngine.open({
    backend: 'local',
    dataDirectory: main,
    syncOnCommit: false,
    ...small,
  });
  for (let i = 0; i < 200; i++) await engine.put(`key ${i}`, 'x'.repeat(100));
  const window = Math.floor(Number(cycles) / Number(samples));
  for (let sample = 0; sample < Number(samples); sample++) {
    for (let i = 0; i < window; i++) {
      const left = await cycle(engine, random(17));
      if (keep === 'true' && kept.length < 20) kept.push(left);
      if (i % 500 === 499) await settle();
    }
    await settle();
    const { rss, heapUsed, external } = process.memoryUsage();
    const { openSnapshots } = engine.stats().versions;
    const descriptors = readdirSync('/proc/self/fd').length;
    const line = { rss, heap: heapUsed, external, descriptors, openSnapshots } satisfies Sample;
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }
  if (keep !== 'true') await engine.close();
  else process.exit(0);
}

await run();
