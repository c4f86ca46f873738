/* Stores to compact: loads in order and at random, deletes of most of it, and what a file looks like afterwards. */
import { expect } from 'vitest';
import type { StorageBackend } from '../../src/backend/backend.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import type { StorageEngine } from '../../src/engine/engine.ts';
import { type Random, randomFrom } from '../support/codec-data.ts';
import { long, seed } from '../support/seed.ts';
import { openSmall } from '../support/small-store.ts';

/** Records of a store. */
export const COUNT = long ? 60_000 : 4000;

export type Content = Map<string, string>;

/** Lets other work run without waiting a millisecond for it. */
export class QuickBackend extends MemoryBackend {
  readonly host = {
    now: () => 0,
    random: (target: Uint8Array) => void target.fill(7),
    later: (_ms: number, run: () => void) => {
      const handle = setImmediate(run);
      return () => clearImmediate(handle);
    },
  };
}

export function dataSize(backend: MemoryBackend): number {
  return backend.open('data', { create: false, readOnly: true }).size();
}

export function openQuick(
  backend: StorageBackend,
  config: Partial<StorageConfig> = {},
): Promise<StorageEngine> {
  return openSmall(backend, { bufferPoolSize: '1MB', compression: 'lz4', ...config });
}

export function shuffled<T>(list: readonly T[], random: Random = randomFrom(seed)): T[] {
  const copy = [...list];
  for (let i = copy.length - 1; i > 0; i--) {
    const other = random(i + 1);
    [copy[i], copy[other]] = [copy[other]!, copy[i]!];
  }
  return copy;
}

/** Records of about 250 bytes, half of which no codec gets smaller. */
export function records(count: number, random: Random = randomFrom(seed)): Content {
  const content: Content = new Map();
  for (let i = 0; i < count; i++) {
    let token = '';
    while (token.length < 60 + (i % 60)) token += random(2 ** 32).toString(36);
    const record = { id: i, token, mail: `user${random(1e6)}@example.org`, tags: [random(90), random(90)] };
    content.set(
      `user:${String(i).padStart(8, '0')}`,
      JSON.stringify({ ...record, note: 'note '.repeat(random(12)), balance: random(1e9) / 100 }),
    );
  }
  return content;
}

const BATCH = 250;

export async function putAll(engine: StorageEngine, entries: readonly (readonly [string, string])[]) {
  for (let at = 0; at < entries.length; at += BATCH) {
    await engine.batch(
      entries.slice(at, at + BATCH).map(([key, value]) => ({ type: 'put' as const, key, value })),
    );
  }
}

export async function deleteAll(engine: StorageEngine, keys: readonly string[]) {
  for (let at = 0; at < keys.length; at += BATCH) {
    await engine.batch(keys.slice(at, at + BATCH).map((key) => ({ type: 'delete' as const, key })));
  }
}

/** Size of the file of a store that was just loaded with some content, and closed. */
export async function freshSize(
  entries: readonly (readonly [string, string])[],
  config: Partial<StorageConfig> = {},
): Promise<number> {
  const backend = new QuickBackend();
  const engine = await openQuick(backend, config);
  await putAll(engine, entries);
  await engine.close();
  return dataSize(backend);
}

const decoder = new TextDecoder();

/** Holds everything that can be read against what must be there, and asks for a verification. */
export async function expectContent(engine: StorageEngine, content: Content): Promise<void> {
  const found = new Map<string, string>();
  for (const [key, value] of engine.scan()) found.set(decoder.decode(key), decoder.decode(value));
  const sorted = new Map([...content].sort(([a], [b]) => (a < b ? -1 : 1)));
  expect([...found]).toEqual([...sorted]);
  expect((await engine.verify()).problems).toEqual([]);
}
