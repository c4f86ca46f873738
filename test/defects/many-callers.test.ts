/*
 * Defects that storage engines have shipped with: many callers at once. Each test is named by its defect and holds what
 * must be the case instead. A promise that never settles shows as simulated time that has run out.
 */
import { expect, test } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import type { SimulatedCall, SimulatedErrno } from '../../src/testing/index.ts';

const CONFIG: Partial<StorageConfig> = {
  pageSize: 4096,
  bufferPoolSize: 16 * 4096,
  checkpointWalSize: '512KB',
  compression: 'none',
};

/** A store on a disk whose time passes only while somebody waits for it. */
async function open(disk: SimulatedBackend): Promise<StorageEngine> {
  return disk.run(StorageEngine.open({ ...CONFIG, backend: disk }));
}

/** How a call ended: `ok`, or the code it was refused with. */
function told(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'ok',
    (error: { code?: string }) => error.code ?? String(error),
  );
}

function toldNow(call: () => unknown): string {
  try {
    call();
    return 'ok';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

/** Lets the first call that is meant meet an error. */
function failOnce(
  disk: SimulatedBackend,
  errno: SimulatedErrno,
  isMeant: (call: SimulatedCall) => boolean,
): void {
  disk.plan = (call) => {
    if (!isMeant(call)) return undefined;
    disk.plan = () => undefined;
    return { errno };
  };
}

test.each([10, 1000])('defects: %i small puts at once make a large data file', async (count) => {
  const disk = new SimulatedBackend({ manual: true });
  const db = await open(disk);
  disk.capacity = 6 << 20;
  const said = await disk.run(
    Promise.all(Array.from({ length: count }, (_, n) => told(db.put(`key ${n}`, `value ${n}`)))),
  );
  expect(said.filter((word) => word !== 'ok')).toEqual([]);
  expect(disk.files().get('data')!.length).toBeLessThanOrEqual(4 << 20);
  const after = await open(disk.crash(() => false));
  expect(after.count()).toBe(count);
});

const writers: readonly (readonly [what: string, write: (db: StorageEngine, key: string) => unknown])[] = [
  ['put', (db, key) => db.putSync(key, 'second')],
  ['batch', (db, key) => db.batchSync([{ type: 'put', key, value: 'second' }])],
  ['delete', (db, key) => db.deleteSync(key)],
];

test.each(['snapshot', 'serializable'] as const)(
  'defects: a commit that waits is forgotten when a blocking one is refused (%s)',
  async (isolation) => {
    const disk = new SimulatedBackend({ manual: true });
    const db = await open(disk);
    const [a, b] = [db.beginTransaction({ isolation }), db.beginTransaction({ isolation })];
    a.put('key', 'a');
    b.put('key', 'b');
    const first = told(a.commit());
    const others = [told(db.put('other', '1')), told(db.tree('events').put('more', '2'))];
    const second = toldNow(() => b.commitSync());
    const said = await disk.run(first);
    expect([said, second].sort()).toEqual(['CONFLICT', 'ok']);
    expect(await disk.run(Promise.all(others))).toEqual(['ok', 'ok']);
    await disk.run(db.close());
    const after = await open(disk);
    expect(after.getString('key')).toBe(said === 'ok' ? 'a' : 'b');
    expect([after.getString('other'), after.tree('events').getString('more')]).toEqual(['1', '2']);
  },
);

test.each(writers)(
  'defects: what waits is forgotten when a blocking %s overtakes it',
  async (_what, write) => {
    const disk = new SimulatedBackend({ manual: true });
    const db = await open(disk);
    const waiting = Array.from({ length: 20 }, (_, n) => told(db.put(`key ${n}`, 'first')));
    expect(toldNow(() => write(db, 'key 3'))).toBe('ok');
    expect(new Set(await disk.run(Promise.all(waiting)))).toEqual(new Set(['ok']));
    await disk.run(db.close());
  },
);

test('defects: two puts in flight on a full disk are never answered', async () => {
  for (let kib = 900; kib <= 1800; kib += 60) {
    const disk = new SimulatedBackend({ manual: true });
    const db = await open(disk);
    disk.capacity = kib * 1024;
    const kept: string[] = [];
    for (let n = 0, isFull = false; !isFull && n < 4000; n += 2) {
      const keys = [`key ${n}`, `key ${n + 1}`];
      const said = await disk.run(Promise.all(keys.map((key) => told(db.put(key, 'v'.repeat(200))))));
      for (const [at, word] of said.entries()) {
        if (word === 'ok') kept.push(keys[at]!);
        else expect(word).toBe('OUT_OF_SPACE');
      }
      isFull = said.includes('OUT_OF_SPACE');
    }
    expect(db.count()).toBe(kept.length);
    // Deletes work on the full disk, by promise, two at once, and blocking.
    const gone = kept.splice(0, 3);
    expect(await disk.run(Promise.all(gone.slice(0, 2).map((key) => told(db.delete(key)))))).toEqual([
      'ok',
      'ok',
    ]);
    expect(toldNow(() => db.deleteSync(gone[2]!))).toBe('ok');
    disk.capacity = Number.POSITIVE_INFINITY;
    expect(await disk.run(told(db.put('later', '1')))).toBe('ok');
    const after = await open(disk.crash(() => false));
    expect(after.count()).toBe(kept.length + 1);
  }
});

test.each([
  ['snapshot', ''],
  ['snapshot', 'events'],
  ['serializable', ''],
  ['serializable', 'events'],
] as const)(
  'defects: close() lets a transaction resolve that it has aborted (%s, tree "%s")',
  async (isolation, tree) => {
    const disk = new SimulatedBackend({ manual: true });
    const db = await open(disk);
    let goOn = (): void => undefined;
    const saving = told(
      db.transaction(
        async (tx) => {
          (tree === '' ? tx : tx.tree(tree)).put('key', '1');
          await new Promise<void>((resolve) => {
            goOn = resolve;
          });
        },
        { isolation },
      ),
    );
    await disk.clock.settle();
    await disk.run(db.close());
    goOn();
    expect(['CLOSED', 'TRANSACTION_FINISHED']).toContain(await disk.run(saving));
    const after = await open(disk);
    expect((tree === '' ? after : after.tree(tree)).has('key')).toBe(false);
  },
);

test.each(['EMFILE', 'ENOSPC', 'EIO'] as const)(
  'defects: one %s refuses everybody who waits',
  async (errno) => {
    const disk = new SimulatedBackend({ manual: true });
    const db = await open(disk);
    await disk.run(db.put('first', '1'));
    failOnce(disk, errno, ({ operation, file }) => operation === 'open' && file.startsWith('log-'));
    const names = ['a', 'b', 'c', 'd'];
    const commits = names.map((name) => {
      const tx = db.beginTransaction();
      for (let n = 0; n < 300; n++) tx.put(`${name}${n}`, new Uint8Array(1000));
      return told(tx.commit());
    });
    const said = await disk.run(Promise.all(commits));
    expect(said.filter((word) => word !== 'ok').length).toBeLessThanOrEqual(1);
    expect(names.map((prefix) => db.count({ prefix }))).toEqual(
      said.map((word) => (word === 'ok' ? 300 : 0)),
    );
    await disk.run(db.close());
  },
);

const isSuperblock = ({ operation, file, position }: SimulatedCall) =>
  operation === 'write' && file === 'data' && position < 8192;

test.each(['EIO', 'ENOSPC'] as const)(
  'defects: a checkpoint goes on behind one that failed with %s',
  async (errno) => {
    const disk = new SimulatedBackend({ manual: true });
    const db = await open(disk);
    for (let n = 0; n < 100; n++) db.putSync(`key ${n}`, 'v'.repeat(500));
    failOnce(disk, errno, isSuperblock);
    const both = [told(db.checkpoint()), told(db.checkpoint()), told(db.compact())];
    const said = await disk.run(Promise.all(both));
    if (said[0] === 'STORE_FAILED') expect(said).toEqual(['STORE_FAILED', 'STORE_FAILED', 'STORE_FAILED']);
    await disk.run(told(db.close()));
    for (const left of [disk.crash(() => true), disk.crash(() => false), disk.kill()]) {
      const after = await open(left);
      expect(after.count()).toBe(100);
      expect((await left.run(after.verify())).ok).toBe(true);
    }
  },
);

test.each(['EIO', 'ENOSPC'] as const)(
  'defects: close() goes on behind a checkpoint that failed with %s',
  async (errno) => {
    const disk = new SimulatedBackend({ manual: true });
    const db = await open(disk);
    for (let n = 0; n < 100; n++) db.putSync(`key ${n}`, 'v'.repeat(500));
    failOnce(disk, errno, isSuperblock);
    const checkpoint = told(db.checkpoint());
    const closing = told(db.close());
    await disk.run(Promise.all([checkpoint, closing]));
    for (const left of [disk.crash(() => true), disk.crash(() => false)]) {
      const after = await open(left);
      expect(after.count()).toBe(100);
      expect((await left.run(after.verify())).ok).toBe(true);
    }
  },
);
