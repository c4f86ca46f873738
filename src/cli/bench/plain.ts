/**
 * The measure of a store's writes: the same bytes appended to a plain file, with a sync as often as the store needs
 * one. Nothing that promises as much can be faster on the same disk than this, but by sharing syncs.
 */
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';

/** Appends so many pieces and syncs after every `perSync` of them; answers the milliseconds it took. */
export function appendPlainly(file: string, piece: Uint8Array, pieces: number, perSync: number): number {
  const plain = openSync(file, 'wx', 0o600);
  try {
    const begin = performance.now();
    for (let done = 1; done <= pieces; ++done) {
      writeSync(plain, piece);
      if (done % perSync === 0) fsyncSync(plain);
    }
    if (pieces % perSync !== 0) fsyncSync(plain);
    return performance.now() - begin;
  } finally {
    closeSync(plain);
  }
}
