/*
 * The contract of bytes that are handed out: they are the caller's own. Whatever becomes of one, changed, transferred, or
 * kept for ever, the others keep theirs and every later read works.
 */
import { expect, onTestFinished, test } from 'vitest';
import type { Scan, StorageConfig } from '../../src/index.ts';
import { MemoryBackend, StorageEngine } from '../../src/index.ts';

const COUNT = 400;
const key = (i: number): string => `k${String(i).padStart(4, '0')}`;
const value = (i: number): string => `value ${i} `.repeat(1 + (i % 12));
const text = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString();
const all = Array.from({ length: COUNT }, (_, i) => i);

/** What a program may do to a value. A runtime may refuse. */
const DEEDS: Record<string, (value: Uint8Array) => void> = {
  'is overwritten': (given) => void given.fill(0xff),
  'is transferred with a message': ({ buffer }) => {
    const { port1, port2 } = new MessageChannel();
    attempt(() => port1.postMessage(buffer, [buffer as ArrayBuffer]));
    port1.close();
    port2.close();
  },
  'is transferred with a clone': ({ buffer }) =>
    attempt(() => structuredClone(buffer, { transfer: [buffer as ArrayBuffer] })),
  'is transferred by itself': ({ buffer }) => {
    const memory = buffer as ArrayBuffer & { transfer?(length?: number): ArrayBuffer };
    attempt(() => memory.transfer?.());
    attempt(() => memory.transfer?.(4));
  },
};

function attempt(work: () => unknown): void {
  try {
    work();
  } catch {
    // Refused is as good.
  }
}

async function open(config: Partial<StorageConfig> = {}): Promise<StorageEngine> {
  const db = await StorageEngine.open({ backend: new MemoryBackend(), walEnabled: true, ...config });
  onTestFinished(() => db.close());
  await db.batch(all.map((i) => ({ type: 'put', key: key(i), value: value(i) }) as const));
  return db;
}

test.each(Object.entries(DEEDS))(
  'given values: when one %s, no other changes and reads go on',
  async (_, deed) => {
    const db = await open();
    const snapshot = db.snapshot();
    const tx = db.beginTransaction();
    tx.put(key(1), value(1));
    for (const reader of [db, snapshot, tx]) {
      const held = all.map((i) => reader.get(key(i)));
      const listed = reader.getMany(all.map(key));
      for (const i of [0, 7, 50, 399]) {
        deed(held[i]!);
        deed(listed[i]!);
        expect(text(reader.get(key(i)))).toBe(value(i));
      }
      for (const i of all) {
        if ([0, 7, 50, 399].includes(i)) continue;
        expect([text(held[i]), text(listed[i])]).toEqual([value(i), value(i)]);
      }
      for (const i of all) expect(text(reader.get(key(i)))).toBe(value(i));
    }
    tx.abort();
    snapshot.close();
  },
);

/** Ways through a scan that answer key and value, or one of them. */
const WALKS: Record<string, (scan: Scan) => Iterable<[Uint8Array | undefined, Uint8Array | undefined]>> = {
  'one by one': (scan) => scan,
  'many at once': function* (scan) {
    for (let some = scan.nextMany(30); some.length > 0; some = scan.nextMany(30)) yield* some;
  },
  keys: function* (scan) {
    for (const one of scan.keys()) yield [one, undefined];
  },
  values: function* (scan) {
    for (const one of scan.values()) yield [undefined, one];
  },
};

test.each(
  Object.entries(WALKS).flatMap(([walk, go]) =>
    Object.entries(DEEDS).map(([what, deed]) => [walk, what, go, deed] as const),
  ),
)('given values: a scan, %s, of which one %s goes on', async (_, __, go, deed) => {
  const db = await open();
  const tx = db.beginTransaction();
  for (const i of [3, 4, 200]) tx.put(key(i), value(i));
  for (const reader of [db, tx]) {
    for (const reverse of [false, true]) {
      const order = reverse ? [...all].reverse() : all;
      const kept: [number, 'key' | 'value', Uint8Array][] = [];
      let n = 0;
      for (const [k, v] of go(reader.scan({ reverse }))) {
        const i = order[n++]!;
        if (k) expect(text(k)).toBe(key(i));
        if (v) expect(text(v)).toBe(value(i));
        if (n % 7 === 3) {
          if (k) deed(k);
          if (v) deed(v);
        } else {
          if (k) kept.push([i, 'key', k]);
          if (v) kept.push([i, 'value', v]);
        }
      }
      expect(n).toBe(COUNT);
      for (const [i, what, bytes] of kept) expect(text(bytes)).toBe(what === 'key' ? key(i) : value(i));
    }
  }
  tx.abort();
});

test('given values: what one shares memory with is for others, and nothing that a scan goes by', async () => {
  const db = await open();
  const seen: string[] = [];
  for (const [k] of db.scan()) {
    seen.push(text(k)!);
    // The classic mistake: the memory that a view lies in is taken for the view.
    if (seen.length % 50 === 0) new Uint8Array(k.buffer).fill(0xff);
  }
  expect(seen).toHaveLength(COUNT);
  expect(db.getString(key(0))).toBe(value(0));
});

test('given values: what is kept keeps 8 KiB besides itself, at the most', async () => {
  for (const pageSize of [4096, 65536]) {
    const db = await StorageEngine.open({ pageSize });
    onTestFinished(() => db.close());
    const lengths = [0, 1, 100, 1000, 1024, 1025, 4000, 8100, 8192, 9000, 16_000, 16_384, 20_000, 100_000];
    const long = 'k'.repeat(pageSize / 8 - 10);
    const records = Array.from({ length: 600 }, (_, i) => {
      const name = String(i).padStart(5, '0');
      return { key: i % 9 === 0 ? `${name}${long}` : name, value: 'v'.repeat(lengths[i % lengths.length]!) };
    });
    for (const record of records) await db.batch([{ type: 'put', ...record }]);
    const given: Uint8Array[] = [];
    for (const entry of db.scan()) given.push(...entry);
    for (const one of db.scan({ reverse: true }).keys()) given.push(one);
    for (const entry of db.scan().nextMany(500)) given.push(...entry);
    for (const record of records)
      given.push(db.get(record.key)!, ...(db.getMany([record.key]) as Uint8Array[]));
    const most = Math.max(...given.map((one) => one.buffer.byteLength - one.length));
    expect(most).toBeLessThanOrEqual(8192);
    const scanned = [...db.scan()].map(([k, v]) => [text(k), text(v)]);
    expect(scanned).toEqual(records.map((record) => [record.key, record.value]));
  }
});

test('given values: three hundred of a scan over many hold no more than their slabs', async () => {
  const db = await StorageEngine.open({ bufferPoolSize: '64MB' });
  onTestFinished(() => db.close());
  for (let at = 0; at < 30_000; at += 1000) {
    await db.batch(
      Array.from(
        { length: 1000 },
        (_, i) => ({ type: 'put', key: `k${at + i}`, value: 'v'.repeat(100) }) as const,
      ),
    );
  }
  const kept: Uint8Array[] = [];
  let n = 0;
  for (const [, v] of db.scan()) if (n++ % 100 === 0) kept.push(v);
  expect(kept).toHaveLength(300);
  const held = [...new Set(kept.map(({ buffer }) => buffer))].reduce(
    (sum, { byteLength }) => sum + byteLength,
    0,
  );
  expect(held).toBeLessThanOrEqual(300 * 8192);
});
