/* Pages as they are told to somebody who looks: one by one and all together, in frames and in the file. */
import { expect, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { resolveConfig } from '../../src/config/config.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { openEngineCore } from '../../src/engine/open.ts';
import { censusOf, type PageCensus, type PageReport, reportPage } from '../../src/maintenance/page-report.ts';

async function openBoth() {
  const engineCore = await openEngineCore(resolveConfig({ backend: new MemoryBackend(), pageSize: 4096 }));
  return { engineCore, engine: new StorageEngine(engineCore) };
}

type Both = Awaited<ReturnType<typeof openBoth>>;

function look({ engineCore }: Both): { census: PageCensus; pages: PageReport[] } {
  const { pager } = engineCore.store;
  const handle = engineCore.handles.take();
  const pages: PageReport[] = [];
  const walk = censusOf(pager, handle.epoch);
  let step = walk.next();
  for (; !step.done; step = walk.next()) {
    const page = reportPage(pager, step.value, handle.epoch);
    if (page) pages.push(page);
  }
  handle.close();
  return { census: step.value, pages };
}

test('page report: every page is told, and the census is their sum', async () => {
  const both = await openBoth();
  const { engine } = both;
  for (let at = 0; at < 300; ++at) engine.putSync(`key-${at}`, 'v'.repeat(at % 50));
  engine.putSync('long', 'x'.repeat(10_000));
  for (const where of ['memory', 'file']) {
    if (where === 'file') await engine.checkpoint();
    const { census, pages } = look(both);
    expect(pages).toHaveLength(engine.stats().pages.count);
    const leaves = pages.filter(({ kind }) => kind === 'leaf');
    expect(leaves.flatMap(({ keys }) => keys)).toHaveLength(301);
    expect(census).toMatchObject({ height: 1, records: 301 });
    expect(census.pages).toEqual({ leaf: leaves.length, inner: 1, overflow: 3, damaged: 0 });
    const overflow = pages.filter(({ kind }) => kind === 'overflow').map(({ fill }) => fill);
    expect(overflow.sort()).toEqual([expect.closeTo(0.45, 1), 1, 1]);
    for (const { fill } of leaves) expect(fill).toBeGreaterThan(0.01);
    expect(pages.find(({ kind }) => kind === 'inner')?.children.toSorted()).toEqual(
      leaves.map(({ page }) => page).sort(),
    );
    expect(pages.every(({ extent }) => (extent !== undefined) === (where === 'file'))).toBe(true);
    expect(pages.flatMap(({ problems }) => problems)).toEqual([]);
  }
  await engine.close();
});

test('page report: an empty leaf is not full, a page that is none is not told', async () => {
  const both = await openBoth();
  const { pages, census } = look(both);
  expect(pages).toMatchObject([{ page: 1, kind: 'leaf', level: 0, slots: 0, fill: 0, keys: [] }]);
  expect(census).toMatchObject({ records: 0, leafFill: 0, leafFills: [1, 0, 0, 0, 0, 0, 0, 0, 0, 0] });
  expect(reportPage(both.engineCore.store.pager, 2, Number.MAX_SAFE_INTEGER)).toBeUndefined();
  await both.engine.close();
});
