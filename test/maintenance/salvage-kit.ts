/*
 * Stores to damage and salvage, and the judge of what came of it: what is in the new store and what is listed as lost
 * are together all there was, nothing is both, and every value is the newest one.
 */
import { expect } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { Block } from '../../src/index.ts';
import type { Loss } from '../../src/maintenance/loss.ts';
import type { SalvageReport } from '../../src/maintenance/salvage.ts';
import type { Random } from '../support/codec-data.ts';

/** What a store holds after a commit. */
export interface State {
  /** Values by tree and key; the default tree is called ''. */
  readonly trees: ReadonlyMap<string, ReadonlyMap<string, string>>;
  readonly blocks: ReadonlyMap<number, number>;
}

/** The files of a store cut off from its power, and its states by the sequence of the commit. */
export interface Story {
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly states: ReadonlyMap<number, State>;
  readonly last: number;
  /** Keys that were ever written, by tree. */
  readonly keys: ReadonlyMap<string, ReadonlySet<string>>;
}

export const KIT_CONFIG = { pageSize: 4096, compression: 'none', bufferPoolSize: '128KB' } as const;
const POOL = { bufferPoolSize: '128KB' } as const;

/** Writes a store and remembers what it was after every commit. */
export class Writer {
  readonly backend = new SimulatedBackend({ seed: 8 });
  readonly engine: StorageEngine;
  readonly #trees = new Map<string, Map<string, string>>([['', new Map()]]);
  readonly #blocks = new Map<number, number>();
  readonly #states = new Map<number, State>();
  readonly #keys = new Map<string, Set<string>>();

  static async open(config: Partial<StorageConfig> = {}): Promise<Writer> {
    const writer = new Writer(undefined as unknown as StorageEngine);
    const engine = await StorageEngine.open({ ...KIT_CONFIG, ...config, backend: writer.backend });
    Object.assign(writer, { engine });
    writer.#note();
    return writer;
  }

  constructor(engine: StorageEngine) {
    this.engine = engine;
  }

  async put(tree: string, key: string, value: string): Promise<void> {
    await this.#place(tree).put(key, value);
    this.#tree(tree).set(key, value);
    this.#note();
  }

  /** Several in one commit. */
  async batch(tree: string, records: readonly (readonly [string, string | undefined])[]): Promise<void> {
    await this.#place(tree).batch(
      records.map(([key, value]) =>
        value === undefined ? { type: 'delete', key } : { type: 'put', key, value },
      ),
    );
    for (const [key, value] of records) {
      if (value === undefined) this.#tree(tree).delete(key);
      else this.#tree(tree).set(key, value);
    }
    this.#note();
  }

  async delete(tree: string, key: string): Promise<void> {
    await this.#place(tree).delete(key);
    this.#tree(tree).delete(key);
    this.#note();
  }

  async drop(tree: string): Promise<void> {
    await this.engine.dropTree(tree);
    this.#trees.delete(tree);
    this.#note();
  }

  async block(byte: number, length: number): Promise<number> {
    const id = await this.engine.writeBlock(new Block(new Uint8Array(length).fill(byte)));
    this.#blocks.set(id, byte);
    this.#note();
    return id;
  }

  async deleteBlock(id: number): Promise<void> {
    await this.engine.deleteBlock(id);
    this.#blocks.delete(id);
    this.#note();
  }

  /** What the disk holds when the power goes now. */
  end(): Story {
    const files = this.backend.crash(() => true).files();
    const last = this.engine.stats().sequence;
    const keys = new Map([...this.#keys].map(([name, set]) => [name, new Set(set)]));
    return { files, states: this.#states, last, keys };
  }

  #place(tree: string) {
    return tree === '' ? this.engine : this.engine.tree(tree);
  }

  #tree(name: string): Map<string, string> {
    const tree = this.#trees.get(name) ?? new Map<string, string>();
    this.#trees.set(name, tree);
    return tree;
  }

  #note(): void {
    for (const [name, tree] of this.#trees) {
      const known = this.#keys.get(name) ?? new Set();
      this.#keys.set(name, known);
      for (const key of tree.keys()) known.add(key);
    }
    const trees = new Map([...this.#trees].map(([name, tree]) => [name, new Map(tree)]));
    this.#states.set(this.engine.stats().sequence, { trees, blocks: new Map(this.#blocks) });
  }
}

/** A key long enough that a few of them fill a page. */
export function longKey(i: number): string {
  return `${'k'.repeat(380)} ${String(i).padStart(4, '0')}`;
}

/** A store with every kind of page, and with commits behind its checkpoint. */
export async function writeStory(config: Partial<StorageConfig> = {}): Promise<Story> {
  const writer = await Writer.open(config);
  for (let i = 0; i < 80; ++i) await writer.put('', longKey(i), `value ${i} `.padEnd(300, 'v'));
  await writer.engine.checkpoint();
  // What lay there before is still in the file.
  for (let i = 0; i < 80; i += 5) await writer.put('', longKey(i), `second value ${i} `.padEnd(300, 'w'));
  for (let i = 0; i < 14; ++i) await writer.put('named', longKey(i), `named ${i} `.padEnd(300, 'n'));
  await writer.put('other', 'alone', 'in its tree');
  await writer.put('', 'long', 'x'.repeat(9000));
  await writer.put('named', 'long', 'y'.repeat(5000));
  await writer.put('dropped', 'key', 'value');
  const ids = [];
  for (let i = 0; i < 4; ++i) ids.push(await writer.block(i, 3000 + 2000 * i));
  for (let i = 0; i < 80; i += 9) await writer.delete('', longKey(i));
  await writer.drop('dropped');
  await writer.engine.checkpoint();
  await writer.batch('', [
    [longKey(3), 'newer'],
    [longKey(4), undefined],
    [longKey(200), 'new'],
    ['long', 'z'.repeat(7000)],
  ]);
  await writer.put('named', 'more', 'new');
  await writer.delete('named', longKey(2));
  await writer.put('fresh', 'key', 'a tree that the checkpoint has not');
  await writer.drop('other');
  await writer.put('other', 'again', 'another tree of that name');
  await writer.block(9, 500);
  await writer.deleteBlock(ids[1] as number);
  await writer.put('', longKey(41), 'last');
  return writer.end();
}

const bytes = (text: string) => new TextEncoder().encode(text);

/** Whether a key is in a range that is listed. */
export function isListed(range: Loss['range'] & {}, given: Uint8Array): boolean {
  const at = (key: unknown) => Buffer.compare(given, key as Uint8Array);
  const { gt, gte, lt, lte } = range;
  return (
    (gt === undefined || at(gt) > 0) &&
    (gte === undefined || at(gte) >= 0) &&
    (lt === undefined || at(lt) < 0) &&
    (lte === undefined || at(lte) <= 0)
  );
}

function listings(lost: readonly Loss[], tree: string, key: string): number {
  return lost.filter(({ what, tree: of, range }) => {
    if (what === 'trees') return tree !== '' && isListed(range!, bytes(tree));
    return what === 'keys' && (of ?? '') === tree && isListed(range!, bytes(key));
  }).length;
}

/** What a judgement counted. */
export interface Count {
  copied: number;
  lost: number;
}

/** Holds a new store against what the old one was. */
export async function judge(
  story: Story,
  report: SalvageReport,
  target: SimulatedBackend,
  hint: string,
  logDamaged = false,
): Promise<Count> {
  const { lost } = report;
  if (!lost.some(({ what }) => what === 'commits')) {
    // Rot in the very last commit looks like a write that was torn.
    expect(report.sequence, hint).toBeGreaterThanOrEqual(story.last - Number(logDamaged));
  }
  const state = story.states.get(report.sequence) as State;
  expect(state, `${hint}: there was such a commit`).toBeDefined();
  const engine = await StorageEngine.open({ ...POOL, backend: target, createIfMissing: false });
  const count = { copied: 0, lost: 0 };
  try {
    expect((await engine.verify()).problems, hint).toEqual([]);
    for (const name of engine.trees()) {
      expect(state.trees.has(name), `${hint}: tree ${name}`).toBe(true);
      expect(
        lost.some(({ what, range }) => what === 'trees' && isListed(range!, bytes(name))),
        `${hint}: tree ${name} is lost and there`,
      ).toBe(false);
    }
    for (const [name, keys] of story.keys) {
      const copy = name === '' ? engine : engine.tree(name);
      for (const key of keys) {
        const where = `${hint}: ${name}/${key.slice(-4)}`;
        const value = copy.getString(key);
        const times = listings(lost, name, key);
        expect(times, where).toBeLessThan(2);
        if (times === 1) expect(value, `${where} is lost and there`).toBeUndefined();
        else expect(value, where).toBe(state.trees.get(name)?.get(key));
        count.copied += Number(value !== undefined);
        count.lost += Number(times === 1 && state.trees.get(name)?.has(key) === true);
      }
    }
    const there = [engine, ...engine.trees().map((name) => engine.tree(name))];
    const records = there.reduce((sum, tree) => sum + tree.count(), 0);
    expect([report.records, records], hint).toEqual([count.copied, count.copied]);
    expect(report.trees, hint).toBe(engine.trees().length);
    let blocks = 0;
    const next = Math.max(0, ...[...story.states.values()].flatMap((one) => [...one.blocks.keys()])) + 1;
    for (let id = 1; id < next; ++id) {
      const data = engine.readBlock(id)?.data;
      const times = lost.filter(({ ids }) => ids && ids[0] <= id && id <= ids[1]).length;
      expect(times, `${hint}: block ${id}`).toBeLessThan(2);
      const wanted = times === 1 ? undefined : state.blocks.get(id);
      expect(data?.[0], `${hint}: block ${id}`).toBe(wanted);
      if (data) ++blocks;
      count.lost += Number(times === 1 && state.blocks.has(id));
    }
    expect(report.blocks, hint).toBe(blocks);
    // Ids of the old store are not given out again.
    const fresh = await engine.writeBlock(new Block(new Uint8Array(1)));
    if (report.sequence === story.last) expect(fresh, hint).toBeGreaterThanOrEqual(next);
  } finally {
    await engine.close();
  }
  return count;
}

/** A place for the new store. */
export function newPlace(): SimulatedBackend {
  return new SimulatedBackend({ seed: 9 });
}

/** Files with some bytes changed. */
export function changed(
  files: ReadonlyMap<string, Uint8Array>,
  file: string,
  at: number,
  change: (byte: number) => number = (byte) => byte ^ 0x55,
): SimulatedBackend {
  const copy = new Map([...files].map(([name, content]) => [name, content.slice()]));
  const content = copy.get(file) as Uint8Array;
  content[at] = change(content[at] as number);
  return new SimulatedBackend({ seed: 3, files: copy });
}

/** Sectors of the data file at which a block begins, whether anything refers to it or not. */
export function blockSectors(data: Uint8Array): number[] {
  const view = new DataView(data.buffer, data.byteOffset);
  const sectors = [];
  for (let at = 8192; at < data.length; at += 512)
    if (view.getUint32(at, true) === 0x42474541) sectors.push(at);
  return sectors;
}

/** One of a list. */
export function one<T>(random: Random, list: readonly T[]): T {
  return list[random(list.length)] as T;
}
