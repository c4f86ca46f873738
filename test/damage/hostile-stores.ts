/* Small stores of every shape, for mutants to be made of. Each is the same however often it is made. */

import { MemoryBackend } from '../../src/backend/memory.ts';
import type { CompressionType } from '../../src/codec/codec.ts';
import { resolveConfig, type StorageConfig } from '../../src/config/config.ts';
import { openEngine } from '../../src/engine/engine.ts';
import { Block } from '../../src/index.ts';
import { type Files, filesOf } from '../support/files.ts';
import { Random } from '../wal/random.ts';
import { Forge } from './forge.ts';

export const HOSTILE_SEGMENT_SIZE = 8192;

interface Shape {
  readonly name: string;
  readonly pageSize: number;
  readonly compression: CompressionType;
  readonly walEnabled: boolean;
  readonly keys: number;
  /** Bytes of the stem that all keys share: long ones make high trees. */
  readonly stem: number;
  readonly valueBytes: number;
  /** Keys whose values lie in chains, and how long those are. */
  readonly chains: readonly number[];
  /** Commits in the log after the last checkpoint; `closed`: none. */
  readonly tail: 'closed' | 'short commits' | 'long commits';
  /** Whether there are named trees, one of them dropped and not given back, and blocks. */
  readonly trees: boolean;
}

const shape = {
  pageSize: 4096,
  compression: 'none',
  walEnabled: true,
  stem: 4,
  valueBytes: 40,
  chains: [],
  trees: false,
} as const;

export const SHAPES: readonly Shape[] = [
  { ...shape, name: 'empty', keys: 0, tail: 'closed' },
  { ...shape, name: 'small', keys: 12, tail: 'closed' },
  { ...shape, name: 'deep tree', keys: 90, stem: 480, valueBytes: 20, tail: 'closed' },
  { ...shape, name: 'chains', keys: 20, chains: [5000, 9000, 13_000, 4100], tail: 'closed' },
  { ...shape, name: 'compressed', compression: 'lz4', keys: 120, chains: [9000], tail: 'closed' },
  { ...shape, name: 'live log', keys: 40, stem: 120, tail: 'short commits' },
  { ...shape, name: 'live log of long commits', keys: 30, chains: [5000], tail: 'long commits' },
  { ...shape, name: 'trees', keys: 30, trees: true, tail: 'closed' },
  { ...shape, name: 'trees in a live log', keys: 20, trees: true, tail: 'short commits' },
  { ...shape, name: 'zstd', compression: 'zstd', keys: 60, chains: [9000], trees: true, tail: 'closed' },
  { ...shape, name: 'without a log', walEnabled: false, keys: 60, stem: 200, chains: [6000], tail: 'closed' },
  {
    ...shape,
    name: 'large pages',
    pageSize: 65_536,
    walEnabled: false,
    keys: 70,
    valueBytes: 1200,
    chains: [70_000],
    tail: 'closed',
  },
];

export interface HostileSeed {
  readonly shape: Shape;
  readonly forge: Forge;
  readonly keys: readonly string[];
}

export async function makeSeeds(): Promise<HostileSeed[]> {
  return Promise.all(SHAPES.map(makeSeed));
}

/** The configuration that a store of a shape is opened with. */
export function configFor(shape: Shape, given: Partial<StorageConfig>): ReturnType<typeof resolveConfig> {
  const { pageSize, walEnabled, compression } = shape;
  return resolveConfig({ pageSize, walEnabled, compression, bufferPoolSize: 16 * pageSize, ...given });
}

export async function makeSeed(shape: Shape): Promise<HostileSeed> {
  const backend = new MemoryBackend();
  const engine = await openEngine(configFor(shape, { backend }), undefined, HOSTILE_SEGMENT_SIZE);
  const random = new Random(shape.keys + shape.stem);
  const bytesOf = (length: number) =>
    Uint8Array.from({ length }, (_, i) => (i % 3 === 0 ? random.below(256) : 97 + (i % 7)));
  const keys = Array.from(
    { length: shape.keys },
    (_, i) => `${'k'.repeat(shape.stem)}${String(i).padStart(4, '0')}`,
  );
  for (const [i, key] of keys.entries()) {
    await engine.put(key, bytesOf(shape.chains[i] ?? (i * 7) % shape.valueBytes));
    if (i % 8 === 7) await engine.checkpoint();
  }
  if (shape.trees) {
    for (let i = 0; i < 12; i++) {
      await engine.tree('notes').put(`note ${i}`, bytesOf(i === 5 ? 6000 : 200));
      await engine.tree('gone').put(`gone ${i}`, bytesOf(i === 5 ? 6000 : 500));
    }
    for (const length of [10, 900, 6000])
      await engine.writeBlock(new Block(bytesOf(length)).withCompression('lz4'));
    await engine.tree('small').put('one', 'record');
  }
  // Free places, and numbers that are free.
  for (const key of keys.slice(2, 4)) await engine.delete(key);
  await engine.checkpoint();
  let files: Files;
  if (shape.tail === 'closed') {
    if (shape.trees) await engine.dropTree('gone');
    await engine.close();
    files = filesOf(backend);
  } else {
    for (let i = 0; i < 8; i++) {
      const length = shape.tail === 'long commits' ? 3000 + i * 700 : 30 + i;
      await engine.put(`tail ${i}`, bytesOf(length));
      if (i % 3 === 2) await engine.delete(keys[i + 5]!);
    }
    await engine.batch(keys.slice(10, 16).map((key) => ({ type: 'put', key, value: 'again' })));
    if (shape.trees) {
      await engine.tree('late').put('one', 'record');
      await engine.writeBlock(new Block(bytesOf(100)));
      await engine.dropTree('gone');
    }
    files = filesOf(backend);
    await engine.close();
  }
  return { shape, forge: new Forge(trimmed(files)), keys };
}

/** Without the zeros that a data file is filled ahead with. */
function trimmed(files: Files): Files {
  const data = files.get('data')!;
  let end = data.length;
  while (data[end - 1] === 0) end--;
  return files.set('data', data.slice(0, Math.ceil(end / 512) * 512));
}

/** Whose mutant a number is; the large ones, which cost as much as ten others, are rare. */
export function seedOf(seeds: readonly HostileSeed[], number: number): HostileSeed {
  const large = seeds.length - 1;
  return seeds[number % 41 === 0 ? large : number % large]!;
}
