/*
 * Many callers, few syncs, and nobody is told too early. The backend remembers every write and what syncs have covered
 * (test/support/steered-backend.ts); every value carries a mark by which its bytes are found in the log.
 */
import { describe, expect, onTestFinished, test } from 'vitest';
import type { AegisErrorCode } from '../../src/base/errors.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { type Random, randomFrom } from '../support/codec-data.ts';
import { long, seed } from '../support/seed.ts';
import { SteeredBackend, settleTurn } from '../support/steered-backend.ts';

const HOUR = 3_600_000;
const CALLERS = 64;
const MARK = /<mark (\d+)>/g;

/** A group of the log as it was written. */
interface Written {
  readonly file: string;
  readonly position: number;
  readonly bytes: Uint8Array;
}

/** A store whose log is watched. */
class Watched {
  readonly backend: SteeredBackend;
  readonly random: Random = randomFrom(seed);
  db!: StorageEngine;
  /** Syncs of log files, by promise and blocking. */
  syncs = 0;
  blockingSyncs = 0;
  /** Marks in the order they came to the log. */
  readonly logged: number[] = [];
  failing = false;
  readonly #groups = new Map<number, Written>();
  #lastMark = 0;

  /** A sync of it takes from `least` milliseconds to `most`. */
  constructor(most: number, least: number) {
    this.backend = new SteeredBackend(this.random, true);
    this.backend.steering = {
      syncDelay: () => least + this.random(most - least + 1),
      onWrite: (file, position, bytes) => this.#note({ file, position, bytes }),
      onSync: (file, blocking) => {
        if (!file.startsWith('log-')) return;
        if (blocking) ++this.blockingSyncs;
        else ++this.syncs;
      },
      syncFails: (file) => this.failing && file.startsWith('log-'),
    };
  }

  static async open(most = 3, least = 1): Promise<Watched> {
    const watched = new Watched(most, least);
    const { backend } = watched;
    watched.db = await backend.clock.settle(
      StorageEngine.open({ backend, walEnabled: true, syncOnCommit: true, checkpointWalSize: '4MB' }),
    );
    // The first commit waits for the first segment of the log.
    await watched.settle(watched.db.put('first of all', ''));
    onTestFinished(async () => {
      watched.failing = false;
      await backend.clock.settle(watched.db.close().catch(() => undefined));
    });
    return watched;
  }

  #note(written: Written): void {
    if (!written.file.startsWith('log-')) return;
    const text = Buffer.from(written.bytes).toString('latin1');
    for (const [, digits] of text.matchAll(MARK)) {
      const mark = Number(digits);
      if (!this.#groups.has(mark)) this.logged.push(mark);
      this.#groups.set(mark, written);
    }
  }

  /** A value nobody else has, and its mark. */
  mark(): { mark: number; value: string } {
    const mark = ++this.#lastMark;
    return { mark, value: `<mark ${mark}>${'.'.repeat(this.random(200))}` };
  }

  isLogged(mark: number): boolean {
    return this.#groups.has(mark);
  }

  /** Whether the whole group that holds a mark is on the disk. */
  isDurable(mark: number): boolean {
    const group = this.#groups.get(mark);
    if (!group) return false;
    const found = new Uint8Array(group.bytes.length);
    this.backend.durableFile(group.file).read(found, group.position);
    return Buffer.compare(found, group.bytes) === 0;
  }

  mustBeDurable(mark: number, what: string): void {
    if (!this.isDurable(mark)) throw new Error(`${what}: mark ${mark} is not on the disk`);
  }

  /** Whatever readers see is on the disk. */
  checkVisible(keys: Iterable<string>): void {
    for (const key of keys) {
      const mark = markOf(this.db.getString(key));
      if (mark > 0) this.mustBeDurable(mark, `${key} is visible`);
    }
  }

  async step(): Promise<void> {
    this.backend.clock.step();
    await settleTurn();
  }

  settle<T>(promise: Promise<T>): Promise<T> {
    return this.backend.clock.settle(promise);
  }

  async verify(): Promise<void> {
    expect((await this.settle(this.db.verify())).problems).toEqual([]);
  }
}

function markOf(text: string | undefined): number {
  return Number(/<mark (\d+)>/.exec(text ?? '')?.[1] ?? 0);
}

function codeOf(error: unknown): AegisErrorCode | undefined {
  return (error as { code?: AegisErrorCode }).code;
}

describe('group commit', () => {
  test('engine: 64 callers share syncs, and none is answered before the sync that covers its bytes', {
    timeout: HOUR,
  }, async () => {
    const watched = await Watched.open();
    const { db } = watched;
    const puts = long ? 400 : 40;
    const keys = Array.from({ length: CALLERS }, (_, caller) => `caller ${caller}`);
    const before = db.stats().transactions.commits;
    watched.syncs = 0;
    let answered = 0;
    const caller = async (key: string): Promise<void> => {
      for (let i = 0; i < puts; ++i) {
        const { mark, value } = watched.mark();
        await db.put(key, value);
        watched.mustBeDurable(mark, 'a put was answered');
        expect(db.getString(key)).toBe(value);
        ++answered;
      }
    };
    let running = true;
    const all = Promise.all(keys.map(caller)).finally(() => {
      running = false;
    });
    while (running) {
      await watched.step();
      watched.checkVisible(keys);
    }
    await all;
    const commits = db.stats().transactions.commits - before;
    const { syncs } = watched;
    console.log(`group commit: ${commits} commits of ${CALLERS} callers, ${syncs} syncs of the log`);
    expect(answered).toBe(CALLERS * puts);
    expect(commits).toBe(answered);
    expect(syncs).toBeLessThan(commits / 16);
    await watched.verify();
  });

  test('engine: a blocking put is on the disk when it returns, whatever was on its way, and the order of calls stays', {
    timeout: HOUR,
  }, async () => {
    const watched = await Watched.open(6);
    const { db, random } = watched;
    const keys = Array.from({ length: CALLERS }, (_, caller) => `caller ${caller}`);
    const called: number[] = [];
    const last = new Map<string, number>();
    const pending = new Set<Promise<void>>();
    let failure: unknown;
    for (let i = 0; i < (long ? 40_000 : 4000); ++i) {
      const key = keys[random(CALLERS)] as string;
      const { mark, value } = watched.mark();
      called.push(mark);
      last.set(key, mark);
      if (random(12) === 0) {
        if (random(3) === 0) db.batchSync([{ type: 'put', key, value }]);
        else db.putSync(key, value);
        for (const earlier of called.slice(-100)) watched.mustBeDurable(earlier, 'a blocking put returned');
        expect(db.getString(key)).toBe(value);
        for (const [other, newest] of last) expect(markOf(db.getString(other))).toBe(newest);
      } else {
        const put: Promise<void> = db
          .put(key, value)
          .then(() => watched.mustBeDurable(mark, 'a put was answered'))
          .catch((error: unknown) => {
            failure ??= error;
          })
          .finally(() => pending.delete(put));
        pending.add(put);
      }
      if (random(8) === 0) await watched.step();
      if (random(50) === 0) watched.checkVisible(keys);
      if (failure) throw failure;
    }
    await watched.settle(Promise.all(pending));
    if (failure) throw failure;
    expect(watched.logged).toEqual(called);
    for (const [key, newest] of last) expect(markOf(db.getString(key))).toBe(newest);
    await watched.verify();
    console.log(
      `mixed: ${called.length} commits, ${watched.syncs} syncs by promise, ${watched.blockingSyncs} blocking ones`,
    );
  });

  test('engine: a relaxed commit behind a durable one is neither seen nor answered before it', async () => {
    const watched = await Watched.open(5, 5);
    const { db } = watched;
    const first = watched.mark();
    const second = watched.mark();
    const answers: string[] = [];
    const durable = db.put('durable', first.value).then(() => answers.push('durable'));
    const tx = db.beginTransaction();
    tx.put('relaxed', second.value);
    const relaxed = tx.commit({ sync: false }).then(() => answers.push('relaxed'));
    for (let i = 0; i < 20; ++i) await settleTurn();
    expect(watched.isLogged(second.mark)).toBe(true);
    expect(answers).toEqual([]);
    expect([db.get('durable'), db.get('relaxed')]).toEqual([undefined, undefined]);
    await watched.settle(Promise.all([durable, relaxed]));
    expect(answers).toEqual(['durable', 'relaxed']);
    watched.mustBeDurable(first.mark, 'the durable one was answered');
    expect([db.getString('durable'), db.getString('relaxed')]).toEqual([first.value, second.value]);
  });

  test('engine: a relaxed commit is answered when it is written, and on the disk within the interval', async () => {
    const watched = await Watched.open();
    const { db } = watched;
    const { mark, value } = watched.mark();
    const tx = db.beginTransaction();
    tx.put('relaxed', value);
    const commit = tx.commit({ sync: false });
    // No time passes: only what needs no waiting can happen.
    for (let i = 0; i < 20; ++i) await settleTurn();
    await commit;
    expect(db.getString('relaxed')).toBe(value);
    expect([watched.isLogged(mark), watched.isDurable(mark)]).toEqual([true, false]);
    const begun = watched.backend.clock.now;
    while (!watched.isDurable(mark)) await watched.step();
    expect(watched.backend.clock.now - begun).toBeLessThanOrEqual(db.config.walFlushInterval + 5);
    // A durable one makes everything before it durable.
    const other = watched.mark();
    const another = watched.mark();
    const second = db.beginTransaction();
    second.put('relaxed', other.value);
    second.commitSync({ sync: false });
    expect([watched.isLogged(other.mark), watched.isDurable(other.mark)]).toEqual([true, false]);
    await watched.settle(db.put('durable', another.value));
    watched.mustBeDurable(other.mark, 'a durable commit was answered');
  });

  test('engine: when a sync fails waiting commits are unknown, later ones refused, and readers keep what was durable', async () => {
    const watched = await Watched.open(5, 5);
    const { db, backend } = watched;
    for (let i = 0; i < 10; ++i) await watched.settle(db.put(`key ${i}`, watched.mark().value));
    const old = Array.from({ length: 10 }, (_, i) => db.getString(`key ${i}`));
    const reader = db.snapshot();
    const tx = db.beginTransaction();
    tx.put('key 0', 'never');

    const marks = Array.from({ length: 10 }, () => watched.mark());
    const put = (i: number) => db.put(`key ${i}`, (marks[i] as { value: string }).value).catch(codeOf);
    const waiting = [0, 1, 2, 3, 4].map(put);
    for (let i = 0; i < 20; ++i) await settleTurn();
    expect(watched.isLogged((marks[4] as { mark: number }).mark)).toBe(true);
    const behind = [5, 6, 7, 8, 9].map(put);
    watched.failing = true;
    const outcomes = await watched.settle(Promise.all([...waiting, ...behind]));
    // Those behind the sync had not reached the log: of them it is known that they did not happen.
    expect(outcomes).toEqual([...Array(5).fill('COMMIT_UNKNOWN'), ...Array(5).fill('STORE_FAILED')]);
    watched.failing = false;

    const refused: (() => unknown)[] = [
      () => db.put('later', 'x'),
      () => db.delete('key 0'),
      () => db.batch([{ type: 'put', key: 'later', value: 'x' }]),
      () => tx.commit(),
      () => db.checkpoint(),
      async () => db.putSync('later', 'x'),
      async () => db.deleteSync('key 0'),
      async () => db.beginTransaction(),
      () => db.transaction((work) => work.put('later', 'x')),
    ];
    for (const call of refused) {
      const code = await watched.settle(
        Promise.resolve(call()).then(
          () => undefined,
          (error: unknown) => codeOf(error),
        ),
      );
      expect(code, String(call)).toBe('STORE_FAILED');
    }
    for (let i = 0; i < 50; ++i) await watched.step();
    expect(Array.from({ length: 10 }, (_, i) => db.getString(`key ${i}`))).toEqual(old);
    expect(Array.from({ length: 10 }, (_, i) => reader.getString(`key ${i}`))).toEqual(old);
    expect([...db.scan()].length).toBe(11);
    expect(db.has('later')).toBe(false);

    // What the next process finds is each value whole, old or new, and the commits in order.
    for (const left of [backend.copy(), backend.cut(watched.random)]) {
      const found = await StorageEngine.open({ backend: left, walEnabled: true });
      const values = Array.from({ length: 10 }, (_, i) => found.getString(`key ${i}`));
      const fresh = values.map((value, i) => value === marks[i]?.value);
      values.forEach((value, i) => {
        expect(value).toBe(fresh[i] ? marks[i]?.value : old[i]);
      });
      expect(fresh.slice(5)).toEqual(Array(5).fill(false));
      expect(fresh.slice(0, 5)).toEqual(Array(5).fill(fresh[0]));
      expect((await found.verify()).ok).toBe(true);
      await found.close();
    }
  });

  test('engine: when a blocking sync fails its commit is unknown and so is every one before it', async () => {
    const watched = await Watched.open(5, 5);
    const { db } = watched;
    await watched.settle(db.put('key', 'old'));
    const before = db.put('other', 'new').catch(codeOf);
    watched.failing = true;
    let code: AegisErrorCode | undefined;
    try {
      db.putSync('key', 'new');
    } catch (error) {
      code = codeOf(error);
    }
    expect(code).toBe('COMMIT_UNKNOWN');
    expect(await watched.settle(before)).toBe('COMMIT_UNKNOWN');
    expect([db.getString('key'), db.has('other')]).toEqual(['old', false]);
    expect(await watched.settle(db.put('key', 'later').catch(codeOf))).toBe('STORE_FAILED');
  });

  test('engine: a sync that fails late does not take back what a blocking commit has made durable', async () => {
    const watched = await Watched.open(5, 5);
    const { db, backend } = watched;
    const first = db.put('first', 'by promise');
    for (let i = 0; i < 20; ++i) await settleTurn();
    db.putSync('second', 'blocking');
    expect([db.getString('first'), db.getString('second')]).toEqual(['by promise', 'blocking']);
    await settleTurn();
    await first;
    watched.failing = true;
    for (let i = 0; i < 20; ++i) await watched.step();
    expect(await watched.settle(db.put('third', 'x').catch(codeOf))).toBe('STORE_FAILED');
    expect([db.getString('first'), db.getString('second'), db.has('third')]).toEqual([
      'by promise',
      'blocking',
      false,
    ]);
    const found = await StorageEngine.open({ backend: backend.cut(watched.random), walEnabled: true });
    expect([found.getString('first'), found.getString('second')]).toEqual(['by promise', 'blocking']);
    await found.close();
  });
});
