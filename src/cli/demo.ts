/**
 * `aegis demo`: one store from end to end on real data. It loads, reads, lets transactions conflict, kills a writer in
 * mid-commit and opens the store again; whatever it claims on the way it checks, and the exit status is 0 only if
 * every claim held. The acts are in `demo/`; this file is their order, and what is there before and after them.
 *
 * 1. The store is a new one: in a temporary folder, which goes away at the end, or in the folder that was named, which
 *    stays. A temporary store is kept when asked for, and when something failed, as evidence.
 * 2. However it ends, no child process and no temporary folder is left behind.
 */
import { AegisError, StorageEngine } from '../index.ts';
import type { Cities } from './demo/cities.ts';
import { readCities } from './demo/cities.ts';
import { conflict } from './demo/conflicts.ts';
import { inspect, killWriters } from './demo/kills.ts';
import { load } from './demo/load.ts';
import { read } from './demo/reads.ts';
import type { Stage } from './demo/stage.ts';
import { Proofs } from './demo/stage.ts';
import { diskUse, makeTemporaryFolder, removeFolder, storeConfig } from './demo/store.ts';
import type { Figures } from './demo/summary.ts';
import { showFigures, showOutcome } from './demo/summary.ts';
import { EXIT_NO, EXIT_OK } from './exit.ts';
import { Interrupts } from './interrupts.ts';
import { Screen } from './screen.ts';
import { count } from './units.ts';

/** The options of `aegis demo`. */
export interface DemoOptions {
  readonly directory?: string;
  readonly records?: number;
  readonly kills: number;
  readonly keep?: boolean;
}

/** Runs the demo; answers the exit status. */
export async function runDemo({ directory: named, records, kills, keep }: DemoOptions): Promise<number> {
  const begin = performance.now();
  const screen = new Screen();
  const interrupts = new Interrupts();
  interrupts.add(() => screen.restore());
  const cities = readCities(records);
  const directory = named ?? makeTemporaryFolder();
  const isOurs = named === undefined && keep !== true;
  if (isOurs) interrupts.add(() => removeFolder(directory));
  const stage: Stage = { screen, proofs: new Proofs(screen), interrupts, cities, directory };
  let remains = !isOurs;
  try {
    introduce(stage, cities);
    showFigures(stage, await play(stage, kills));
    remains ||= !stage.proofs.allHeld;
    showOutcome(stage, performance.now() - begin);
    if (remains) screen.say(`The store is in ${directory}`);
    return stage.proofs.allHeld ? EXIT_OK : EXIT_NO;
  } catch (error) {
    screen.restore();
    if (isOurs && !isDiskFull(error)) {
      remains = true;
      screen.say(`The store stays for inspection: ${directory}`);
    }
    throw error;
  } finally {
    if (!remains) removeFolder(directory);
  }
}

function isDiskFull(error: unknown): boolean {
  return error instanceof AegisError && error.code === 'OUT_OF_SPACE';
}

function introduce({ screen, directory }: Stage, { records, source }: Cities): void {
  screen.line();
  screen.line(screen.paint('bold', 'One store, end to end'));
  screen.line();
  screen.fact('data', `${count(records.length)} cities of the world, from the npm package ${source}`);
  screen.fact('store', 'new, local files, lz4, every commit on disk before it counts');
  screen.fact('folder', directory);
}

async function play(stage: Stage, kills: number): Promise<Figures> {
  const engine = await StorageEngine.open({ ...storeConfig(stage.directory), errorIfExists: true });
  try {
    const loaded = await load(engine, stage);
    await engine.checkpoint();
    const wasRead = read(engine, stage);
    const stats = engine.stats();
    await conflict(engine, stage);
    await engine.close();
    const disk = diskUse(stage.directory);
    const kill = await killWriters(stage, kills);
    await inspect(stage);
    return { load: loaded, read: wasRead, kill, stats, disk };
  } finally {
    await engine.close();
  }
}
