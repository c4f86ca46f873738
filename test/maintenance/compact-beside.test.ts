/*
 * Compaction beside everything else: commits of every kind, scans half read, snapshots and transactions held open,
 * checkpoints, closings. What they see is held against a model at every step; the store is compacted again and again.
 */
import { afterAll, expect, test } from 'vitest';
import type { Scan, Snapshot, Transaction } from '../../src/index.ts';
import { type Random, randomFrom } from '../support/codec-data.ts';
import { FaultyBackend } from '../support/faults.ts';
import { backendOf } from '../support/files.ts';
import { rejected } from '../support/refused.ts';
import { report } from '../support/report.ts';
import { long, seed } from '../support/seed.ts';
import {
  type Content,
  deleteAll,
  expectContent,
  openQuick,
  putAll,
  QuickBackend,
  records,
} from './compact-kit.ts';

const decoder = new TextDecoder();
const KEYS = 2500;

const keyOf = (index: number): string => `key ${String(index).padStart(5, '0')}`;

function sorted(content: Content): [string, string][] {
  return [...content].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** What goes on beside compactions, a step at a time. */
class Story {
  content: Content = new Map();
  compactions = 0;
  moved = 0;
  readonly #random: Random;
  #engine: Awaited<ReturnType<typeof openQuick>>;
  #scans: { scan: Scan; expected: [string, string][]; at: number }[] = [];
  #snapshots: { snapshot: Snapshot | Transaction; close: () => void; expected: Content }[] = [];
  #running: Promise<void> | undefined;
  #counter = 0;

  constructor(engine: Story['engine'], random: Random) {
    this.#engine = engine;
    this.#random = random;
  }

  get engine() {
    return this.#engine;
  }

  #value(): string {
    const kind = this.#random(30);
    const text = `${++this.#counter} `;
    if (kind === 0) return text.repeat(2500);
    return text.repeat(1 + this.#random(kind < 10 ? 80 : 12));
  }

  #key(): string {
    return keyOf(this.#random(KEYS));
  }

  async step(): Promise<void> {
    const kind = this.#random(100);
    if (kind < 18) await this.#put();
    else if (kind < 26) this.#putSync();
    else if (kind < 34) await this.#run();
    else if (kind < 42) await this.#transaction();
    else if (kind < 46) this.#openScan();
    else if (kind < 70) this.#stepScan();
    else if (kind < 73) this.#hold();
    else if (kind < 84) this.#look();
    else if (kind < 87) this.#release();
    else if (kind < 88) await this.#engine.checkpoint();
    else if (kind < 96) await new Promise((resolve) => setImmediate(resolve));
    else this.#compact();
  }

  async #put(): Promise<void> {
    const [key, value] = [this.#key(), this.#value()];
    await this.#engine.put(key, value);
    this.content.set(key, value);
  }

  #putSync(): void {
    const key = this.#key();
    if (this.#random(2) === 0) {
      expect(this.#engine.deleteSync(key)).toBe(this.content.delete(key));
      return;
    }
    const value = this.#value();
    this.#engine.putSync(key, value);
    this.content.set(key, value);
  }

  /** Fills or empties a stretch of keys. */
  async #run(): Promise<void> {
    const first = this.#random(KEYS);
    const keys = Array.from({ length: 1 + this.#random(500) }, (_, i) => keyOf(first + i));
    if (this.#random(2) === 0) {
      const entries = keys.map((key) => [key, this.#value().slice(0, 300)] as const);
      await putAll(this.#engine, entries);
      for (const [key, value] of entries) this.content.set(key, value);
    } else {
      await deleteAll(this.#engine, keys);
      for (const key of keys) this.content.delete(key);
    }
  }

  async #transaction(): Promise<void> {
    const tx = this.#engine.beginTransaction();
    const own: [string, string][] = [];
    for (let i = this.#random(20); i >= 0; i--) {
      const [key, value] = [this.#key(), this.#value().slice(0, 200)];
      expect(tx.getString(key)).toBe(own.findLast(([name]) => name === key)?.[1] ?? this.content.get(key));
      tx.put(key, value);
      own.push([key, value]);
    }
    await new Promise((resolve) => setImmediate(resolve));
    expect(tx.getString(own[0]![0])).toBe(own.findLast(([name]) => name === own[0]![0])?.[1]);
    await tx.commit();
    for (const [key, value] of own) this.content.set(key, value);
  }

  #openScan(): void {
    if (this.#scans.length >= 3) return;
    const reverse = this.#random(2) === 0;
    const expected = sorted(this.content);
    if (reverse) expected.reverse();
    this.#scans.push({ scan: this.#engine.scan({ reverse }), expected, at: 0 });
  }

  #stepScan(): void {
    const one = this.#scans[this.#random(this.#scans.length)];
    if (!one) return;
    const found = one.scan.nextMany(1 + this.#random(60));
    for (const [key, value] of found) {
      expect([decoder.decode(key), decoder.decode(value)]).toEqual(one.expected[one.at++]);
    }
    if (found.length > 0) return;
    expect(one.at).toBe(one.expected.length);
    this.#scans = this.#scans.filter((other) => other !== one);
  }

  #hold(): void {
    if (this.#snapshots.length >= 3) return;
    const expected = new Map(this.content);
    if (this.#random(2) === 0) {
      const snapshot = this.#engine.snapshot();
      this.#snapshots.push({ snapshot, close: () => snapshot.close(), expected });
    } else {
      const snapshot = this.#engine.beginTransaction({ readOnly: true });
      this.#snapshots.push({ snapshot, close: () => snapshot.abort(), expected });
    }
  }

  #look(): void {
    const one = this.#snapshots[this.#random(this.#snapshots.length)];
    const [from, expected] = one ? [one.snapshot, one.expected] : [this.#engine, this.content];
    for (let i = 0; i < 10; i++) {
      const key = this.#key();
      expect(from.getString(key)).toBe(expected.get(key));
    }
    if (this.#random(5) === 0) expect(from.count()).toBe(expected.size);
  }

  #release(): void {
    this.#snapshots.shift()?.close();
  }

  #compact(): void {
    if (this.#running) return;
    this.#running = this.#engine.compact().then((done) => {
      this.compactions++;
      this.moved += done.pagesMoved;
      expect(done.pagesDamaged).toBe(0);
      this.#running = undefined;
    });
    this.#running.catch(() => undefined);
  }

  async end(): Promise<void> {
    await this.#running;
    while (this.#snapshots.length > 0) this.#release();
    for (const { scan } of this.#scans) scan.close();
    this.#scans = [];
  }
}

const total = { compactions: 0, 'pages moved': 0, steps: 0 };

test.each([
  { name: 'a small pool', config: { bufferPoolSize: '64KB' } },
  { name: 'a large pool', config: { bufferPoolSize: '8MB' } },
  { name: 'no log', config: { walEnabled: false, bufferPoolSize: '128KB' } },
  { name: 'no compression', config: { compression: 'none', bufferPoolSize: '128KB' } },
  { name: 'commits that are not synced', config: { syncOnCommit: false, bufferPoolSize: '128KB' } },
] as const)(
  'compact: whoever reads and writes meanwhile sees what is there, with $name',
  async ({ config }) => {
    for (let round = 0; round < (long ? 60 : 1); round++) {
      const backend = new QuickBackend();
      const random = randomFrom(seed * 100 + round);
      let content: Content = new Map();
      for (let life = 0; life < 3; life++) {
        const story = new Story(await openQuick(backend, config), random);
        story.content = content;
        const steps = 220;
        for (let i = 0; i < steps; i++) await story.step();
        await story.end();
        content = story.content;
        await expectContent(story.engine, content);
        await story.engine.close();
        total.compactions += story.compactions;
        total['pages moved'] += story.moved;
        total.steps += steps;
      }
      expect(total['pages moved']).toBeGreaterThan(0);
    }
  },
);

afterAll(() => {
  report(
    'compaction beside readers and writers',
    total,
    'npx vitest run test/maintenance/compact-beside.test.ts',
  );
});

test('compact: the space that commits were promised is not given back', async () => {
  let seen = 0;
  for (let round = 0; round < (long ? 30 : 2); round++) {
    const random = randomFrom(seed * 50 + round);
    // What does not compress takes all the space that it was promised.
    const noise = (size: number): string => {
      let text = '';
      while (text.length < size) text += random(2 ** 32).toString(36);
      return text;
    };
    const backend = new FaultyBackend();
    const engine = await openQuick(backend, {
      bufferPoolSize: '4MB',
      checkpointWalSize: '16MB',
      compression: 'none',
    });
    const content: Content = new Map();
    for (let i = 0; i < 600; i++) content.set(keyOf(i), noise(700));
    await putAll(engine, [...content]);
    await engine.compact();
    // The file is tight now: no hole takes what comes next. A neighbour takes all that the next cut gives back.
    let cut = false;
    backend.plan = ({ operation, file }) => {
      if (operation === 'truncate' && file === 'data' && !cut) {
        cut = true;
        queueMicrotask(() => {
          backend.capacity = [...backend.files.values()].reduce(
            (sum, { length }) => sum + Math.ceil(length / 4096) * 4096,
            0,
          );
        });
      }
      return undefined;
    };
    for (let i = 0; i < 20; i++) {
      const [key, value] = [keyOf(i), noise(600)];
      await engine.put(key, value);
      content.set(key, value);
    }
    const compacting = engine.compact().then(
      () => undefined,
      (error: unknown) => error,
    );
    // Commits while its last checkpoint runs, in pages of their own: dirty when the file is cut.
    for (let i = 0; !cut && i < 300; i++) {
      const more = Array.from({ length: 20 }, (_, at) => [`more ${i} ${at}`, noise(900)] as const);
      try {
        await putAll(engine, more);
        for (const [key, value] of more) content.set(key, value);
      } catch (error) {
        expect(error).toMatchObject({ code: 'OUT_OF_SPACE' });
        break;
      }
    }
    const error = await compacting;
    if (error) expect(error).toMatchObject({ code: 'OUT_OF_SPACE' });
    expect(cut).toBe(true);
    seen += engine.stats().pool.dirtyFrames;
    await engine.checkpoint();
    await expectContent(engine, content);
    await engine.close();
    const again = await openQuick(backendOf(backend.files));
    await expectContent(again, content);
    await again.close();
  }
  expect(seen).toBeGreaterThan(0);
});

test('compact: a store that another writer has opened is not cut', async () => {
  const backend = new QuickBackend();
  // A lock that does not hold.
  backend.lock = () => ({ release: () => undefined });
  const first = await openQuick(backend);
  await putAll(first, [...records(300)]);
  await first.checkpoint();
  await first.compact();
  const second = await openQuick(backend);
  await putAll(second, [...records(2000)]);
  await second.checkpoint();
  await rejected('STORE_FAILED', () => first.compact());
  expect((await second.verify()).problems).toEqual([]);
  expect(second.count()).toBe(2000);
  await second.close();
  await first.close().catch(() => undefined);
});
