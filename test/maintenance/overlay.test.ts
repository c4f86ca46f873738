/* The file of a read-only store: what is written over it is read again, and the file below stays as it is. */
import { expect, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { OverlayFile } from '../../src/maintenance/overlay.ts';
import { seed } from '../support/seed.ts';
import { Random } from '../wal/random.ts';

const STEPS = 3000;
const SPACE = 6000; // bytes

test('overlay: it reads as a file that was written to, whatever is written and cut', async () => {
  const random = new Random(seed);
  const below = new MemoryBackend().open('data', { create: true });
  const model = new MemoryBackend().open('data', { create: true });
  const start = Uint8Array.from({ length: 3000 }, (_, at) => at & 255);
  for (const file of [below, model]) file.write([start], 0);
  const overlay = new OverlayFile(below);
  for (let step = 0; step < STEPS; step++) {
    const bytes = new Uint8Array(random.below(1500)).fill(random.below(256));
    const position = Math.min(random.below(SPACE), model.size());
    if (random.below(20) === 0) {
      // The store cuts only what it wrote behind the file's own end.
      const size = Math.max(start.length, position);
      for (const file of [overlay, model]) file.truncate(size);
    } else if (random.below(2) === 0) {
      overlay.write([bytes.subarray(0, 10), bytes.subarray(10)], position);
      model.write([bytes], position);
    }
    const wanted = [new Uint8Array(bytes.length), new Uint8Array(bytes.length)] as const;
    const had = [overlay, model].map((file, index) => file.read(wanted[index]!, position));
    expect([had[0], overlay.size()], `seed ${seed}, step ${step}`).toEqual([had[1], model.size()]);
    expect(Buffer.compare(wanted[0], wanted[1]), `seed ${seed}, step ${step}`).toBe(0);
  }
  overlay.syncSync();
  await overlay.sync();
  const kept = new Uint8Array(SPACE);
  expect(below.read(kept, 0)).toBe(start.length);
  expect(kept.subarray(0, start.length)).toEqual(start);
  overlay.close();
});
