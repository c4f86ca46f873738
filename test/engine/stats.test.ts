/*
 * What `stats()` tells, held against a walk over the files that knows nothing but their format: superblock, chunks of
 * the directory, block headers. At several moments of a store's life, with snapshots open and without.
 */
import { expect, test } from 'vitest';
import { deleteAll, openQuick, putAll, QuickBackend, records, shuffled } from '../maintenance/compact-kit.ts';
import { decodeSlowly } from '../support/lz4-reference.ts';

interface Extent {
  readonly start: number;
  readonly sectors: number;
  /** Start and checksum: which block it is. */
  readonly block: string;
}

interface Walk {
  readonly pages: ReadonlyMap<number, Extent>;
  readonly chunks: readonly Extent[];
  readonly sequence: number;
  readonly pageSize: number;
  /** Bytes of the payloads, uncompressed. */
  readonly raw: number;
}

const SECTOR = 512;
const FIRST_BLOCK = 16;

/** Bytes of a file, all of them. */
function bytesOf(backend: QuickBackend, name: string): Uint8Array {
  const file = backend.open(name, { create: false, readOnly: true });
  const bytes = new Uint8Array(file.size());
  file.read(bytes, 0);
  return bytes;
}

/** Reads the durable checkpoint from the data file. */
function walk(backend: QuickBackend): Walk {
  const bytes = bytesOf(backend, 'data');
  const view = new DataView(bytes.buffer);
  const extentAt = (at: number, from: DataView): Extent => {
    const [start, span] = [from.getUint32(at, true), from.getUint32(at + 4, true)];
    return { start, sectors: span & 0xffffff, block: `${start} ${from.getBigUint64(at + 8, true)}` };
  };
  const pageSize = view.getUint32(72, true);
  let raw = 0;
  const payload = ({ start }: Extent): DataView => {
    const at = start * SECTOR;
    const [rawSize, stored] = [view.getUint32(at + 24, true), view.getUint32(at + 28, true)];
    const body = bytes.subarray(at + 64, at + 64 + stored);
    const content = bytes[at + 5] === 0 ? body : decodeSlowly(body, rawSize)!.bytes;
    return new DataView(content.buffer, content.byteOffset, content.byteLength);
  };
  const fanout = pageSize / 16;
  let levels = 1;
  for (let count = view.getUint32(96, true); count > 1; count = Math.ceil(count / fanout)) levels++;
  const chunks: Extent[] = [];
  const pages = new Map<number, Extent>();
  const descend = (extent: Extent, level: number, index: number): void => {
    chunks.push(extent);
    const entries = payload(extent);
    for (let i = 0; i < fanout; i++) {
      const entry = extentAt(i * 16, entries);
      if (entry.sectors === 0) continue;
      if (level > 0) descend(entry, level - 1, index * fanout + i);
      else pages.set(index * fanout + i, entry);
    }
  };
  descend(extentAt(80, view), levels - 1, 0);
  for (const { start } of [...chunks, ...pages.values()]) raw += view.getUint32(start * SECTOR + 24, true);
  return { pages, chunks, sequence: Number(view.getBigUint64(40, true)), pageSize, raw };
}

const sectorsOf = (extents: Iterable<Extent>): number =>
  [...extents].reduce((sum, { sectors }) => sum + sectors, 0);

/** Sectors of all blocks of a checkpoint. */
const usedSectors = ({ pages, chunks }: Walk): number => sectorsOf(pages.values()) + sectorsOf(chunks);

/** Blocks of an older checkpoint that a newer one has no more. */
function gone(before: Walk, now: Walk): Extent[] {
  return [...before.pages]
    .filter(([page, { block }]) => now.pages.get(page)?.block !== block)
    .map(([, e]) => e);
}

function endOf(extents: Iterable<Extent>): number {
  return Math.max(...[...extents].map(({ start, sectors }) => start + sectors));
}

type Engine = Awaited<ReturnType<typeof openQuick>>;

/** Holds the sizes against the files, right after a checkpoint; `old`: blocks that open snapshots keep. */
async function expectSizes(engine: Engine, backend: QuickBackend, old: readonly Extent[]): Promise<void> {
  const found = walk(backend);
  const { pages, versions, data, pool, log, sequence } = engine.stats();
  const used = usedSectors(found) + sectorsOf(old);
  const end = endOf([...found.pages.values(), ...found.chunks, ...old]);
  expect(pages).toEqual({ size: found.pageSize, count: found.pages.size });
  expect(pages.count).toBe((await engine.verify()).pages);
  expect(versions.count).toBe(old.length);
  expect(data.usedSize).toBe(used * SECTOR);
  expect(data.freeSize).toBe((end - FIRST_BLOCK - used) * SECTOR);
  expect(data.fileSize).toBe(bytesOf(backend, 'data').length);
  expect(data.fileSize).toBeGreaterThanOrEqual(end * SECTOR);
  expect(data.damagedSlots).toBe(0);
  expect(pool.dirtyFrames).toBe(0);
  expect(sequence).toBe(found.sequence);
  const logs = backend.list().filter((name) => name.startsWith('log-'));
  expect(log.diskSize).toBe(logs.reduce((sum, name) => sum + bytesOf(backend, name).length, 0));
  expect(log.sinceCheckpoint).toBe(0);
}

test.each(['none', 'lz4'] as const)(
  'stats: sizes and counts are those of the files (%s)',
  async (compression) => {
    const backend = new QuickBackend();
    const engine = await openQuick(backend, {
      compression,
      bufferPoolSize: '8MB',
      checkpointWalSize: '32MB',
    });
    const empty = walk(backend);
    await expectSizes(engine, backend, []);
    const content = records(5000);
    content.set('long', 'x'.repeat(60_000));

    await putAll(engine, shuffled([...content]));
    expect(engine.stats().log.sinceCheckpoint).toBeGreaterThan(500_000);
    await engine.checkpoint();
    await expectSizes(engine, backend, []);
    // Every block was written once, but for the two of the empty store.
    const loaded = walk(backend);
    const { bytesWritten, blocksWritten, compressionRatio } = engine.stats().data;
    expect(blocksWritten).toBe(
      empty.pages.size + empty.chunks.length + loaded.pages.size + loaded.chunks.length,
    );
    expect(bytesWritten).toBe((usedSectors(empty) + usedSectors(loaded)) * SECTOR);
    expect(compressionRatio).toBeCloseTo((empty.raw + loaded.raw) / bytesWritten, 9);

    const some = shuffled([...content.keys()]).slice(0, 3000);
    await deleteAll(engine, some);
    await engine.checkpoint();
    await expectSizes(engine, backend, []);

    // Snapshots keep the blocks that they see and nobody else does.
    const first = { walk: walk(backend), snapshot: engine.snapshot() };
    await putAll(engine, [...records(5000)].slice(1000, 1400));
    await engine.checkpoint();
    const second = { walk: walk(backend), snapshot: engine.snapshot() };
    expect(gone(first.walk, second.walk).length).toBeGreaterThan(10);
    await expectSizes(engine, backend, gone(first.walk, second.walk));
    await deleteAll(engine, some.slice(0, 20));
    await putAll(engine, [...records(5000)].slice(3000, 3200));
    await engine.delete('long');
    await engine.checkpoint();
    const now = walk(backend);
    const kept = new Map(
      [...gone(first.walk, now), ...gone(second.walk, now)].map((extent) => [extent.block, extent]),
    );
    await expectSizes(engine, backend, [...kept.values()]);
    expect(engine.stats().versions).toMatchObject({ openSnapshots: 2 });
    first.snapshot.close();
    await expectSizes(engine, backend, gone(second.walk, now));
    second.snapshot.close();
    await expectSizes(engine, backend, []);

    const { bytesAfter } = await engine.compact();
    await expectSizes(engine, backend, []);
    const { fileSize, usedSize, freeSize } = engine.stats().data;
    expect(fileSize).toBe(bytesAfter);
    expect(fileSize).toBe(FIRST_BLOCK * SECTOR + usedSize + freeSize);
    await engine.close();

    const again = await openQuick(backend, { compression });
    await expectSizes(again, backend, []);
    await again.close();
  },
);

test('stats: commits, conflicts, transactions and snapshots are counted', async () => {
  const backend = new QuickBackend();
  const engine = await openQuick(backend);
  const { checkpoints } = engine.stats();
  for (let i = 0; i < 30; i++) await engine.put(`key ${i}`, 'x');
  engine.deleteSync('key 3');
  const [one, two] = [engine.beginTransaction(), engine.beginTransaction()];
  const scan = engine.scan();
  expect(engine.stats()).toMatchObject({
    sequence: 31,
    transactions: { commits: 31, active: 2, conflicts: 0 },
    versions: { openSnapshots: 3, oldestSnapshotAge: 0 },
  });
  one.put('key 1', 'one');
  two.put('key 1', 'two');
  await one.commit();
  await expect(two.commit()).rejects.toMatchObject({ code: 'CONFLICT' });
  let tries = 0;
  await engine.transaction(async (tx) => {
    tx.put('key 2', `${tx.getString('key 2')}`);
    if (++tries === 1) await engine.put('key 2', 'other');
  });
  expect(engine.stats()).toMatchObject({
    sequence: 34,
    transactions: { commits: 34, active: 0, conflicts: 2 },
    versions: { openSnapshots: 1, oldestSnapshotAge: 3 },
  });
  scan.close();
  await engine.checkpoint();
  expect(engine.stats()).toMatchObject({
    checkpoints: checkpoints + 1,
    versions: { count: 0, openSnapshots: 0, oldestSnapshotAge: 0 },
  });
  expect(walk(backend).sequence).toBe(34);
  await engine.close();
});

test('stats: reads are counted as they are', async () => {
  const backend = new QuickBackend();
  const engine = await openQuick(backend, { bufferPoolSize: '64KB' });
  await putAll(engine, [...records(3000)]);
  await engine.checkpoint();
  const before = engine.stats();
  expect(before.pool.frames).toBe(16 + 16);
  const { pages } = walk(backend);
  for (const [key] of records(3000)) engine.get(key);
  const after = engine.stats();
  // In key order every leaf is brought in once, and the pages above are seldom given up.
  const leaves = pages.size;
  expect(after.pool.misses - before.pool.misses).toBeGreaterThan(leaves * 0.8);
  expect(after.pool.misses - before.pool.misses).toBeLessThan(leaves * 1.3);
  expect(after.data.blocksRead - before.data.blocksRead).toBe(after.pool.misses - before.pool.misses);
  expect(after.pool.hits - before.pool.hits).toBeGreaterThan(3000);
  await engine.close();
});
