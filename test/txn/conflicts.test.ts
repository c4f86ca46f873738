/*
 * What a transaction is validated against, one case each: what was queued when it began or while it was open, and for
 * a serializable one every way of reading: keys that were there or not, ranges by scan and by count.
 */
import { expect, onTestFinished, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import type { Transaction } from '../../src/txn/transaction.ts';

async function open(): Promise<{ disk: SimulatedBackend; db: StorageEngine }> {
  const disk = new SimulatedBackend({ manual: true });
  const opening = StorageEngine.open({ backend: disk, pageSize: 4096, walEnabled: true, syncOnCommit: true });
  const db = await disk.run(opening);
  onTestFinished(() => disk.run(db.close()));
  for (const key of ['b', 'd', 'f', 'h']) await disk.run(db.put(key, 'first'));
  return { disk, db };
}

/** Whether the commit is refused as a conflict. */
function conflicts(disk: SimulatedBackend, tx: Transaction): Promise<boolean> {
  return disk.run(
    tx.commit().then(
      () => false,
      (error: { code?: string }) => error.code === 'CONFLICT',
    ),
  );
}

test('conflicts: a commit on its way when a transaction begins is one it has not seen', async () => {
  const { disk, db } = await open();
  const put = db.put('b', 'second');
  // Queued and not yet written, then written and not yet synced.
  const early = db.beginTransaction();
  await disk.clock.settle();
  const late = db.beginTransaction();
  for (const tx of [early, late]) {
    expect(tx.getString('b')).toBe('first');
    tx.put('b', 'mine');
  }
  await disk.run(put);
  expect(await conflicts(disk, early)).toBe(true);
  expect(await conflicts(disk, late)).toBe(true);
  expect(db.getString('b')).toBe('second');
});

test('conflicts: what is queued is validated against before it is applied', async () => {
  const { disk, db } = await open();
  const tx = db.beginTransaction();
  const put = db.put('b', 'second');
  await disk.clock.settle();
  tx.put('b', 'mine');
  expect(db.getString('b')).toBe('first');
  expect(await conflicts(disk, tx)).toBe(true);
  await disk.run(put);
});

test('conflicts: a note outlives the transaction it was made for while its commit is queued', async () => {
  const { disk, db } = await open();
  const first = db.beginTransaction();
  const put = db.put('b', 'second');
  first.abort();
  const second = db.beginTransaction();
  second.put('b', 'mine');
  await disk.run(put);
  expect(await conflicts(disk, second)).toBe(true);
});

/** Ways to read, and a change that each must notice; none notices a change of `x`. */
const READS: [what: string, read: (tx: Transaction) => unknown, changed: string][] = [
  ['a key', (tx) => tx.get('b'), 'b'],
  ['a key that is not there', (tx) => tx.get('c'), 'c'],
  ['whether a key is there', (tx) => tx.has('b'), 'b'],
  ['whether a key is there that is not', (tx) => tx.has('c'), 'c'],
  ['several keys', (tx) => tx.getMany(['b', 'c']), 'c'],
  ['a scan to its end', (tx) => [...tx.scan({ gte: 'b', lt: 'g' })], 'c'],
  ['a scan backwards', (tx) => [...tx.scan({ gte: 'b', lt: 'g', reverse: true })], 'e'],
  ['a scan of nothing', (tx) => [...tx.scan({ gte: 'i', lt: 'l' })], 'k'],
  ['the first records of a scan', (tx) => tx.scan({ gte: 'b', lt: 'g' }).nextMany(2), 'c'],
  ['a count', (tx) => tx.count({ gte: 'b', lt: 'g' }), 'c'],
];

test.each(READS)('conflicts: a serializable transaction notes %s', async (_what, read, changed) => {
  for (const [key, remove] of [
    [changed, false],
    [changed, true],
    ['x', false],
  ] as const) {
    const { disk, db } = await open();
    if (remove) await disk.run(db.put(key, 'there'));
    for (const isolation of ['serializable', 'snapshot'] as const) {
      const tx = db.beginTransaction({ isolation });
      read(tx);
      tx.put('mine', isolation);
      await disk.run<unknown>(remove ? db.delete(key) : db.put(key, `for ${isolation}`));
      expect(await conflicts(disk, tx), isolation).toBe(isolation === 'serializable' && key === changed);
    }
  }
});

test('conflicts: a long scan is noted as far as it has come', async () => {
  const { disk, db } = await open();
  const operations = Array.from({ length: 2000 }, (_, i) => ({
    type: 'put' as const,
    key: `key ${String(i).padStart(5, '0')}`,
    value: 'value',
  }));
  await disk.run(db.batch(operations));
  const tx = db.beginTransaction({ isolation: 'serializable' });
  const scan = tx.scan({ gte: 'key' });
  for (let i = 0; i < 1500; i++) scan.next();
  tx.put('mine', 'x');
  await disk.run(db.put('key 01400', 'changed'));
  expect(await conflicts(disk, tx)).toBe(true);
});

test('conflicts: notes of two trees in one commit are found again, also when they have left memory', async () => {
  const engine = await StorageEngine.open({
    backend: new MemoryBackend(),
    pageSize: 4096,
    bufferPoolSize: 16 * 4096,
  });
  const [first, second, third] = [0, 1, 2].map(() => engine.beginTransaction());
  const key = (i: number): string => `${'long key '.repeat(20)}${(i * 7919) % 6000}`;
  for (let at = 0; at < 6000; at += 200) {
    await engine.batch(
      Array.from({ length: 200 }, (_, i) => ({
        type: 'put' as const,
        key: key(at + i),
        value: 'value',
        ...(i % 2 === 0 ? {} : { tree: 'other' }),
      })),
    );
  }
  first!.put(key(1000), 'late');
  second!.tree('other').put(key(1), 'late');
  third!.put('untouched', 'value');
  await expect(first!.commit()).rejects.toMatchObject({ code: 'CONFLICT' });
  await expect(second!.commit()).rejects.toMatchObject({ code: 'CONFLICT' });
  await third!.commit();
  expect(engine.getString('untouched')).toBe('value');
  await engine.close();
});
