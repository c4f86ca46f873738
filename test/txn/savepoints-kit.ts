/* What the tests of savepoints have in common. */
import { onTestFinished } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { StorageEngine } from '../../src/engine/engine.ts';
import { openSmall } from '../support/small-store.ts';

export async function open(backend = new MemoryBackend()): Promise<StorageEngine> {
  const db = await openSmall(backend);
  onTestFinished(() => db.close());
  for (const key of ['a', 'b', 'c', 'd']) await db.put(key, `first ${key}`);
  return db;
}

/** Long bytes that no other number has. */
export function long(number: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 7 + (i >> 8) * number + number) & 255;
  return bytes;
}
