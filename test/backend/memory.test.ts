import { expect, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { AegisError } from '../../src/base/errors.ts';
import { seed } from '../support/seed.ts';

const writable = { create: true };

/** Whole numbers below a limit, the same for the same seed (a linear congruential generator). */
function randomFrom(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

test('memory: a file behaves like one array under random writes, cuts and reads', () => {
  const random = randomFrom(seed);
  const file = new MemoryBackend().open('data', writable);
  const limit = 300_000;
  const model = new Uint8Array(limit);
  let size = 0;
  for (let step = 0; step < 3000; step++) {
    const position = random(limit);
    const length = Math.min(limit - position, random(random(4) === 0 ? 150_000 : 500));
    if (random(10) === 0) {
      file.truncate(position);
      model.fill(0, position);
      size = position;
    } else if (random(2) === 0) {
      const bytes = new Uint8Array(length).fill(1 + random(255));
      file.write([bytes.subarray(0, length >> 1), bytes.subarray(length >> 1)], position);
      model.set(bytes, position);
      if (length > 0) size = Math.max(size, position + length);
    } else {
      const bytes = new Uint8Array(length).fill(7);
      const count = file.read(bytes, position);
      expect(count).toBe(Math.max(0, Math.min(length, size - position)));
      expect(Buffer.compare(bytes.subarray(0, count), model.subarray(position, position + count))).toBe(0);
      expect(bytes.subarray(count).every((byte) => byte === 7)).toBe(true);
    }
    expect(file.size()).toBe(size);
  }
});

test('memory: a file of 2 TiB that holds one byte takes no more room than that byte needs', () => {
  const file = new MemoryBackend().open('data', writable);
  const before = process.memoryUsage().arrayBuffers;
  file.write([Uint8Array.of(1)], 2 ** 41);
  expect(file.size()).toBe(2 ** 41 + 1);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
});

test('memory: a write the machine has no memory for is OUT_OF_SPACE and changes nothing', () => {
  const file = new MemoryBackend().open('data', writable);
  file.write([Uint8Array.of(1, 2, 3)], 0);
  const original = globalThis.Uint8Array;
  let left = 2;
  try {
    // The third chunk is refused, as by an engine that is out of memory.
    globalThis.Uint8Array = new Proxy(original, {
      construct: (target, given) => {
        if (left-- === 0) throw new RangeError('Array buffer allocation failed');
        return Reflect.construct(target, given) as Uint8Array;
      },
    });
    expect(() => file.write([new original(300_000).fill(9)], 1)).toThrow(
      expect.objectContaining({ code: 'OUT_OF_SPACE', file: 'data', operation: 'write' }),
    );
  } finally {
    globalThis.Uint8Array = original;
  }
  const bytes = new Uint8Array(10);
  expect([file.size(), file.read(bytes, 0), ...bytes.subarray(0, 3)]).toEqual([3, 3, 1, 2, 3]);
  file.write([new Uint8Array(300_000).fill(9)], 1);
  expect(file.size()).toBe(300_001);
});

test('memory: a removed file lives on for those who have it open', () => {
  const backend = new MemoryBackend();
  const first = backend.open('a', writable);
  first.write([Uint8Array.of(1)], 0);
  backend.remove('a');
  expect([first.size(), backend.list()]).toEqual([1, []]);
  first.write([Uint8Array.of(3)], 1);
  expect([first.size(), backend.open('a', writable).size()]).toEqual([2, 0]);
});

test('memory: a copy has the same bytes, its own from then on, and nobody holds it', () => {
  const backend = new MemoryBackend();
  const file = backend.open('data', writable);
  file.write([Uint8Array.of(1, 2, 3)], 0);
  backend.lock('exclusive');
  const copy = backend.copy();
  file.write([Uint8Array.of(9)], 0);
  file.truncate(1);
  copy.lock('exclusive');
  const bytes = new Uint8Array(3);
  expect(copy.open('data', { create: false }).read(bytes, 0)).toBe(3);
  expect([...bytes]).toEqual([1, 2, 3]);
});

test('memory: LOCKED names this process', () => {
  const backend = new MemoryBackend();
  backend.lock('exclusive');
  const again = () => backend.lock('exclusive');
  expect(again).toThrow(AegisError);
  expect(again).toThrow(expect.objectContaining({ code: 'LOCKED', pid: process.pid }));
  expect(again).toThrow(`process ${process.pid}`);
});

test('memory: a shared lock of an empty backend is NOT_FOUND', () => {
  expect(() => new MemoryBackend().lock('shared')).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
});
