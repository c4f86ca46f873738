/**
 * The end of the demo: its figures in one table, and whether every proof held.
 */
import type { StorageStats } from '../../index.ts';
import { bytes, count, percent, rate, time } from '../units.ts';
import type { KillFigures } from './kills.ts';
import type { ReadFigures } from './reads.ts';
import type { Stage } from './stage.ts';
import type { DiskUse } from './store.ts';
import { POOL_SIZE } from './store.ts';

/** Everything that was measured. */
export interface Figures {
  /** Milliseconds that loading took. */
  readonly load: number;
  readonly read: ReadFigures;
  readonly kill: KillFigures;
  /** As loading and reading left it. */
  readonly stats: StorageStats;
  readonly disk: DiskUse;
}

export function showFigures({ screen, cities }: Stage, { load, read, kill, stats, disk }: Figures): void {
  const { pool, pages, data } = stats;
  const records = cities.records.length;
  screen.heading('figures');
  screen.fact('records', count(records));
  screen.fact('data size', bytes(cities.size), 'keys and values');
  screen.fact('store size on disk', bytes(disk.data), `and ${bytes(disk.log)} of log, kept for reuse`);
  screen.fact('compression ratio', data.compressionRatio.toFixed(2), 'lz4, pages over blocks');
  screen.fact('write rate', `${rate(records, load)} records/s`, 'each transaction synced');
  screen.fact('read rate', `${rate(read.reads, read.readMilliseconds)} gets/s`, 'random keys');
  screen.fact('scan rate', `${rate(read.scanned, read.scanMilliseconds)} records/s`);
  screen.fact(
    'pool hit rate',
    percent(pool.hits, pool.hits + pool.misses),
    `a pool of ${POOL_SIZE.replace('MB', ' MB')} for ${bytes(pages.count * pages.size)} of pages`,
  );
  screen.fact('recovery time', time(kill.recoveryMilliseconds), 'the longest, opening included');
  screen.fact('kills', count(kill.kills));
  screen.fact('acknowledged transactions', count(kill.acknowledged), 'by the writers that were killed');
  screen.fact('lost', count(kill.lost));
  screen.fact('half', count(kill.half));
}

/** The last word. */
export function showOutcome({ screen, proofs }: Stage, milliseconds: number): void {
  const { count: all, failed, allHeld } = proofs;
  screen.line();
  for (const claim of failed) screen.say(screen.paint('red', `failed: ${claim}`));
  const held = `${all - failed.length} of ${all} proofs held`;
  const style = allHeld ? 'green' : 'red';
  screen.say(`${screen.paint('bold', screen.paint(style, held))}, in ${time(milliseconds)}.`);
}
