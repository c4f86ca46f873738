/* Bytes of every kind that are handed to calls. */
import { expect, onTestFinished } from 'vitest';
import type { StorageConfig } from '../../src/index.ts';
import { MemoryBackend, StorageEngine } from '../../src/index.ts';

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export async function open(config: Partial<StorageConfig> = {}): Promise<StorageEngine> {
  const db = await StorageEngine.open({ backend: new MemoryBackend(), walEnabled: true, ...config });
  onTestFinished(() => db.close());
  return db;
}

/** Hands bytes to a call; they must be untouched by it, and are spoilt as soon as it has returned. */
export function lend<T>(
  form: (bytes: Uint8Array) => Uint8Array,
  bytes: Uint8Array,
  call: (lent: Uint8Array) => T,
): T {
  const lent = form(bytes);
  const result = call(lent);
  expect(hex(new Uint8Array(lent)), 'the bytes after the call').toBe(hex(bytes));
  Uint8Array.prototype.fill.call(lent, 0x7a);
  return result;
}
