/*
 * What is handed out where the runtime cannot keep memory from being transferred (browsers), and where it lets it go
 * though it was told not to.
 */
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import type { StorageEngine } from '../../src/engine/engine.ts';

const COUNT = 500;
const key = (i: number): string => `k${String(i).padStart(4, '0')}`;
const value = (i: number): string => `value ${i} `.repeat(1 + (i % 12));
const text = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString();
const all = Array.from({ length: COUNT }, (_, i) => i);

function take({ buffer }: Uint8Array): void {
  structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
  expect(buffer.byteLength).toBe(0);
}

/** A store in a runtime that pins memory in a way. */
async function openWhere(pin: (() => void) | undefined): Promise<StorageEngine> {
  vi.resetModules();
  vi.doMock('../../src/backend/host-memory.ts', () => ({ runtimePin: () => pin }));
  const { StorageEngine } = await import('../../src/engine/engine.ts');
  const db = await StorageEngine.open();
  onTestFinished(() => db.close());
  for (const i of all) await db.put(key(i), value(i));
  // One that is no slab's.
  await db.put(key(COUNT), 'long'.repeat(30_000));
  return db;
}

afterEach(() => {
  vi.doUnmock('../../src/backend/host-memory.ts');
  vi.resetModules();
});

test('slabs: where memory cannot be pinned, each value has its own', async () => {
  const db = await openWhere(undefined);
  const held = all.map((i) => db.get(key(i))!);
  const listed = db.getMany(all.map(key)) as Uint8Array[];
  const scanned = [...db.scan()].slice(0, COUNT);
  const keys = [...db.scan().keys()].slice(0, COUNT);
  for (let i = 0; i < COUNT; i += 3) {
    for (const one of [held[i]!, listed[i]!, ...scanned[i]!, keys[i]!]) if (one.length > 0) take(one);
  }
  for (const i of all) {
    if (i % 3 === 0) continue;
    const [k, v] = scanned[i]!;
    expect([held[i], listed[i], v].map(text)).toEqual([value(i), value(i), value(i)]);
    expect([k, keys[i]].map(text)).toEqual([key(i), key(i)]);
  }
  let n = 0;
  for (const [k, v] of db.scan({ lt: key(COUNT) })) {
    expect([text(k), text(v)]).toEqual([key(n), value(n)]);
    take(k);
    take(v);
    ++n;
  }
  expect(n).toBe(COUNT);
});

test('slabs: one that was transferred is replaced', async () => {
  const db = await openWhere(() => {});
  for (const i of all) {
    const given = db.get(key(i))!;
    expect(text(given)).toBe(value(i));
    if (i % 3 === 0) take(given);
    else if (i % 5 === 0) take((db.getMany([key(i)]) as Uint8Array[])[0]!);
  }
  expect(all.every((i) => text(db.get(key(i))) === value(i))).toBe(true);
});

test.each([
  ['forwards', false],
  ['backwards', true],
] as const)('slabs: a piece of a scan that was transferred is read again, %s', async (_, reverse) => {
  const db = await openWhere(() => {});
  const tx = db.beginTransaction();
  for (let i = 0; i < COUNT; i += 9) tx.put(key(i), value(i));
  for (let i = 1; i < COUNT; i += 9) tx.delete(key(i));
  for (const reader of [db, tx]) {
    const shown = reader === tx ? all.filter((i) => i % 9 !== 1) : all;
    const order = reverse ? [...shown].reverse() : shown;
    for (const every of [1, 2, 3, 50]) {
      for (const what of ['key', 'value'] as const) {
        const seen: (string | undefined)[] = [];
        for (const [k, v] of reader.scan({ lt: key(COUNT), reverse })) {
          seen.push(text(what === 'key' ? v : k));
          if (seen.length % every === 0) take(what === 'key' ? k : v);
        }
        expect(seen).toEqual(order.map(what === 'key' ? value : key));
      }
    }
  }
  // Written meanwhile: a scan shows what was there when it was begun.
  const scan = db.scan({ reverse, lt: key(COUNT) });
  take(scan.next().value[1]);
  for (const i of all) await db.put(key(i), 'new');
  expect([...scan].map(([, v]) => text(v))).toEqual((reverse ? [...all].reverse() : all).slice(1).map(value));
  tx.abort();
});
