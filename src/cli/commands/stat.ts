/**
 * `aegis stat`: what a store holds and takes, and how full its pages are.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { AegisError } from '../../base/errors.ts';
import type { EngineCore } from '../../engine/engine-core.ts';
import type { StorageEngine, StorageStats } from '../../index.ts';
import type { PageCensus } from '../../maintenance/page-report.ts';
import { logNamesOf } from '../../wal/segment.ts';
import { countBlocks } from '../blocks.ts';
import type { Cli } from '../cli.ts';
import { bytes, count as digits, percent } from '../units.ts';

interface StatOptions {
  readonly quick?: true;
}

const BAR_WIDTH = 40;
/** Pages looked at in one go. */
const SLICE_PAGES = 256;

export function addStat(program: Command, cli: Cli): void {
  program
    .command('stat')
    .description('show what the store holds, what it takes, and how full its pages are')
    .option('-q, --quick', 'leave out what needs every page to be read')
    .addHelpText(
      'after',
      `
Examples:
  aegis -d ./data stat
  aegis -d ./data --json stat | jq .data.fileSize`,
    )
    .action(cli.action((options: StatOptions) => stat(cli, options)));
}

async function stat(cli: Cli, { quick }: StatOptions): Promise<undefined> {
  await cli.withStore('read', async (engine, engineCore) => {
    const { censusOf } = await import('../../maintenance/page-report.ts');
    let census: PageCensus | undefined;
    if (!quick) {
      const handle = engineCore.handles.take();
      try {
        const walk = censusOf(engineCore.store.pager, handle.epoch);
        let step = walk.next();
        for (; !step.done; step = walk.next()) {
          if (step.value % SLICE_PAGES === 0) await engineCore.pause();
          await cli.pause();
        }
        census = step.value;
      } finally {
        handle.close();
      }
    }
    const files = logFilesIn(engine.config.dataDirectory);
    const opened = engine.stats();
    const stats = { ...opened, log: { ...opened.log, ...files } };
    const records = quick ? undefined : recordsOf(engine, engineCore);
    if (cli.json) await cli.out.json({ ...stats, ...(census ? { census, records } : {}) });
    else show(cli, stats, records, census);
  });
}

/** What the store tells, and how many files its log has. */
type Stats = StorageStats & { readonly log: { readonly files: number } };

/** The log as it lies in the folder: whoever opens a store for reading has none, and its files take what they take. */
function logFilesIn(folder: string): { files: number; diskSize: number } {
  const names = logNamesOf(readdirSync(folder));
  const sizes = names.map((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0);
  return { files: names.length, diskSize: sizes.reduce((sum, size) => sum + size, 0) };
}

/** Records of the default tree, and of the named ones; null where damage keeps them from being counted. */
interface Records {
  readonly default: number | null;
  readonly trees: Readonly<Record<string, number | null>>;
  /** Blocks, which are not among the records. */
  readonly blocks: number | null;
}

function recordsOf(engine: StorageEngine, engineCore: EngineCore): Records {
  const names = besideDamage(() => engine.trees()) ?? [];
  const trees = names.map((name) => [name, besideDamage(() => engine.tree(name).count())] as const);
  const blocks = besideDamage(() => countBlocks(engineCore));
  return { default: besideDamage(() => engine.count()), trees: Object.fromEntries(trees), blocks };
}

function besideDamage<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof AegisError && (error.code === 'CORRUPTION' || error.code === 'IO_ERROR'))
      return null;
    throw error;
  }
}

function shownCount(number: number | null): string {
  return number === null ? 'not countable: damaged' : digits(number);
}

function show(cli: Cli, stats: Stats, records: Records | undefined, census: PageCensus | undefined): void {
  const { screen } = cli;
  const { data, log, pages, pool, versions, transactions } = stats;
  screen.heading('content');
  if (records) {
    screen.fact('records', shownCount(records.default));
    for (const [name, number] of Object.entries(records.trees))
      screen.fact(`  in tree ${name}`, shownCount(number));
    screen.fact('blocks', shownCount(records.blocks));
  }
  screen.fact('pages', digits(pages.count), `of ${bytes(pages.size)}`);
  screen.fact('last commit', digits(stats.sequence));
  screen.heading('data file');
  screen.fact('size', bytes(data.fileSize));
  screen.fact('in use', bytes(data.usedSize), percent(data.usedSize, data.fileSize));
  screen.fact('free between', bytes(data.freeSize));
  if (census) {
    const raw = (census.pages.leaf + census.pages.inner + census.pages.overflow) * pages.size;
    const ratio = data.usedSize === 0 ? 1 : raw / data.usedSize;
    screen.fact('pages to blocks', `${ratio.toFixed(2)} to 1`, `${bytes(raw)} of pages`);
  }
  if (data.damagedSlots > 0) screen.fact('damaged superblock slots', String(data.damagedSlots), 'of 2');
  screen.heading('log');
  screen.fact('size', bytes(log.diskSize), `${digits(log.files)} ${log.files === 1 ? 'file' : 'files'}`);
  screen.fact('since the checkpoint', bytes(log.sinceCheckpoint));
  if (cli.shell) {
    screen.heading('this session');
    screen.fact('commits', digits(transactions.commits), `${digits(transactions.conflicts)} conflicts`);
    screen.fact(
      'page visits',
      digits(pool.hits + pool.misses),
      `${percent(pool.hits, pool.hits + pool.misses)} in the pool`,
    );
    screen.fact(
      'old page versions',
      digits(versions.count),
      `${digits(versions.openSnapshots)} open snapshots`,
    );
  }
  if (census) showPages(cli, census);
}

function showPages({ screen }: Cli, { pages, height, leafFill, leafFills }: PageCensus): void {
  screen.heading('pages');
  screen.fact('leaves', digits(pages.leaf), `${percent(leafFill, 1)} full on average`);
  screen.fact('inner pages', digits(pages.inner), `${height} ${height === 1 ? 'level' : 'levels'}`);
  screen.fact('overflow pages', digits(pages.overflow), 'of long values');
  if (pages.damaged > 0) screen.fact('damaged pages', digits(pages.damaged), 'see aegis verify');
  screen.heading('fill of leaves');
  const most = Math.max(1, ...leafFills);
  const width = digits(most).length;
  for (const [tenth, number] of leafFills.entries()) {
    const range = `${String(tenth * 10).padStart(3)} - ${String(tenth * 10 + 10).padStart(3)} %`;
    // What is there shows, however little it is.
    const bar = '█'.repeat(Math.ceil((number / most) * BAR_WIDTH));
    screen.say(`${range}  ${digits(number).padStart(width)}  ${screen.paint('cyan', bar)}`.trimEnd());
  }
}
