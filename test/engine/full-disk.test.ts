/*
 * Full disks of every size, full of data or of log: writes are refused before anything happens, deletes work and give
 * space, and nothing is lost.
 */

import { expect, test } from 'vitest';
import { AegisError } from '../../src/base/errors.ts';
import type { StorageEngine } from '../../src/engine/engine.ts';
import { deadFrom, FaultyBackend } from '../support/faults.ts';
import { backendOf } from '../support/files.ts';
import { refused, rejected } from '../support/refused.ts';
import { long, seed } from '../support/seed.ts';
import { openSmall } from '../support/small-store.ts';

test('full disk: writes are refused, reads and deletes go on, and space gained is used at once', async () => {
  const backend = new FaultyBackend();
  const engine = await openSmall(backend);
  for (let i = 0; i < 60; i++) await engine.put(`base ${i}`, `${i}`.repeat(30));
  const used = [...backend.files.values()].reduce(
    (sum, { length }) => sum + Math.ceil(length / 4096) * 4096,
    0,
  );
  backend.capacity = used + 2_000_000;
  let written = 0;
  const writeUntilFull = async () => {
    for (;;) {
      try {
        await engine.put(`more ${written}`, `${written} `.repeat(1000));
        written++;
      } catch (error) {
        return error;
      }
    }
  };
  for (let round = 0; round < 3; round++) {
    expect(await writeUntilFull()).toMatchObject({ code: 'OUT_OF_SPACE' });
    await rejected('OUT_OF_SPACE', () => engine.put('large', 'x'.repeat(500_000)));
    await refused('OUT_OF_SPACE', () => engine.putSync('large', 'x'.repeat(500_000)));
    expect(engine.count({ prefix: 'more' })).toBe(written);
    expect(engine.has('large')).toBe(false);
    backend.capacity += 200_000;
  }
  // Deleting works on a full disk, and gives space.
  expect(await writeUntilFull()).toMatchObject({ code: 'OUT_OF_SPACE' });
  const full = written;
  for (let i = 0; i < full; i++) expect(await engine.delete(`more ${i}`), `more ${i}`).toBe(true);
  await engine.checkpoint();
  written = 0;
  await writeUntilFull();
  expect(written).toBeGreaterThan(full / 2);
  backend.capacity = Number.POSITIVE_INFINITY;
  await engine.put('at last', 'x');
  expect(await engine.verify()).toMatchObject({ ok: true });
  await engine.close();
  const again = await openSmall(backendOf(backend.files));
  expect(again.count({ prefix: 'more' })).toBe(written);
  expect(again.count({ prefix: 'base' })).toBe(60);
  expect(again.getString('at last')).toBe('x');
});

/** Fills a disk of some size with records; answers how many there are. */
async function fillDisk(backend: FaultyBackend, engine: StorageEngine, capacity: number): Promise<number> {
  backend.capacity = capacity;
  for (let written = 0; ; written++) {
    try {
      await engine.put(`more ${written}`, `${written} `.repeat(written % 1000));
    } catch (error) {
      expect(error).toMatchObject({ code: 'OUT_OF_SPACE' });
      return written;
    }
  }
}

test('full disk: deletes work on a disk of any size, whatever was full first', async () => {
  let filled = 0;
  for (
    let capacity = 250_000, round = 0;
    capacity < 4_000_000;
    capacity = Math.round(capacity * 1.17), round++
  ) {
    const backend = new FaultyBackend();
    const engine = await openSmall(backend, { checkpointWalSize: round % 2 === 0 ? '512KB' : '4MB' });
    const written = await fillDisk(backend, engine, capacity);
    filled += Math.min(written, 1);
    for (let i = 0; i < written; i++) {
      const key = `more ${i}`;
      expect(
        round % 3 === 0 ? engine.deleteSync(key) : await engine.delete(key),
        `${key} of ${written}`,
      ).toBe(true);
    }
    expect(engine.count()).toBe(0);
    if (written > 100) await engine.put('again', 'x'.repeat(5000));
    await engine.close();
    const again = await openSmall(backendOf(backend.files));
    expect(again.count()).toBe(written > 100 ? 1 : 0);
    expect(await again.verify()).toMatchObject({ ok: true });
    await again.close();
  }
  expect(filled).toBeGreaterThan(8);
});

test('full disk: a death at any call loses nothing', async () => {
  const full = new FaultyBackend();
  const engine = await openSmall(full);
  const written = await fillDisk(full, engine, 760_000);
  expect(written).toBeGreaterThan(100);
  for (let number = 1 + (seed % 3); ; number += long ? 1 : 3) {
    const backend = new FaultyBackend(full.files);
    backend.capacity = 760_000;
    backend.plan = deadFrom(number, number % 2 === 0);
    let deleted = 0;
    try {
      const dying = await openSmall(backend);
      for (; deleted < 30; deleted++) await dying.delete(`more ${deleted}`);
      await dying.close();
    } catch (error) {
      if (!(error instanceof AegisError)) throw error;
    }
    const after = await openSmall(backendOf(backend.files));
    const found = Array.from({ length: written }, (_, i) => after.has(`more ${i}`));
    expect(found.slice(0, deleted), `after call ${number}`).not.toContain(true);
    // One may have been under way.
    expect(found.slice(deleted + 1), `after call ${number}`).not.toContain(false);
    expect(await after.verify()).toMatchObject({ ok: true });
    await after.close();
    if (!backend.hasFailed) break;
  }
  await engine.close();
});

test('full disk: a large commit that could not be applied is refused before it is logged', async () => {
  const backend = new FaultyBackend();
  const config = { pageSize: 4096, bufferPoolSize: 16 * 4096, compression: 'none' } as const;
  const engine = await openSmall(backend, config);
  const large = (tag: string) => {
    const tx = engine.beginTransaction();
    for (let i = 0; i < 1500; i++) tx.put(`${tag} ${i}`, 'x'.repeat(1000));
    return tx;
  };
  // Log files for one more like it are there afterwards.
  await large('first').commit();
  await engine.checkpoint();
  for (const isBlocking of [false, true]) {
    const tx = large(`second ${isBlocking}`);
    backend.capacity = [...backend.files.values()].reduce(
      (sum, { length }) => sum + Math.ceil(length / 4096) * 4096,
      0,
    );
    if (isBlocking) await refused('OUT_OF_SPACE', () => tx.commitSync());
    else await rejected('OUT_OF_SPACE', () => tx.commit());
    expect(engine.count({ prefix: 'second' })).toBe(0);
    expect(await engine.delete(`first ${Number(isBlocking)}`)).toBe(true);
    backend.capacity = Number.POSITIVE_INFINITY;
  }
  await large('third').commit();
  expect(engine.count({ prefix: 'third' })).toBe(1500);
  expect(await engine.verify()).toMatchObject({ ok: true });
  await engine.close();
});
