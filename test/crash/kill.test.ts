/*
 * kill -9 at any moment: in the middle of commits, checkpoints, recoveries and the creation of the store. Whoever
 * opens next finds every acknowledged transaction, no half ones, and nothing to clean up.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../support/place.ts';
import { bundleProgram } from '../support/programs.ts';
import { long, seed } from '../support/seed.ts';
import { Victim } from '../support/victim.ts';
import { Random } from '../wal/random.ts';
import { LANES } from './ledger.ts';
import type { Opened, Order } from './writer.ts';

const CYCLES = Number(process.env['CYCLES'] ?? (long ? 600 : 12));
/** Kills of one store, before a new one is begun. */
const CYCLES_PER_STORE = 60;

interface Tally {
  cycles: number;
  /** Cycles in which the store was opened and checked before the kill. */
  checked: number;
  acknowledged: number;
  lost: number;
  half: number;
  /** Anything else. */
  other: number;
  /** Kills before the store was open. */
  early: number;
  /** Milliseconds that all openings took, and the slowest. */
  openings: number;
  slowest: number;
}

/** A store in the making, and what is known of it. */
interface Store {
  directory: string;
  pageSize: number;
  acknowledged: number[];
}

function newStore(folder: string, random: Random): Store {
  const directory = join(folder, `store-${random.below(2 ** 31)}`);
  return { directory, pageSize: 4096 << random.below(3), acknowledged: new Array<number>(LANES).fill(0) };
}

function orderFor(store: Store, syncOnCommit: boolean, random: Random, transactions = 0): Order {
  const frames = [16, 24, 64, 1024][random.below(4)]!;
  return {
    directory: store.directory,
    syncOnCommit,
    pageSize: store.pageSize,
    bufferPoolSize: frames * store.pageSize,
    blocking: random.chance(0.3),
    acknowledged: store.acknowledged,
    seed: random.below(2 ** 31),
    transactions,
  };
}

/**
 * Waits for the moment of the kill: in a quarter of the cycles at any time up to the one that opening takes, otherwise
 * when the victim has been writing for a while.
 */
async function momentOfDeath(victim: Victim, usualOpening: number, random: Random): Promise<void> {
  const isEarly = random.chance(0.25);
  const delay = isEarly ? random.next() * usualOpening : random.next() * 150;
  if (!isEarly) await victim.said('opened');
  await new Promise((resolve) => setTimeout(resolve, delay));
}

/** Takes in what a victim said before it died. */
function takeIn(lines: readonly string[], store: Store, tally: Tally, notes: string[]): void {
  let opened = false;
  for (const line of lines) {
    if (line.startsWith('opened ')) {
      opened = true;
      const { problems, opening } = JSON.parse(line.slice(7)) as Opened;
      tally.openings += opening;
      tally.slowest = Math.max(tally.slowest, opening);
      notes.push(...problems);
      for (const problem of problems) tally[kindOf(problem)]++;
    } else if (line.startsWith('done ')) {
      const [, lane, n] = line.split(' ').map(Number);
      store.acknowledged[lane!] = n!;
      tally.acknowledged++;
    } else if (line !== 'ready') {
      notes.push(line);
      tally.other++;
    }
  }
  if (opened) tally.checked++;
  else tally.early++;
}

function kindOf(problem: string): 'lost' | 'half' | 'other' {
  if (problem.startsWith('lost:')) return 'lost';
  return problem.startsWith('half:') ? 'half' : 'other';
}

async function killAgainAndAgain(program: string, syncOnCommit: boolean, cycles: number): Promise<Tally> {
  const random = new Random(seed * 2 + Number(syncOnCommit));
  const folder = temporaryFolder();
  const notes: string[] = [];
  const tally = {
    cycles: 0,
    checked: 0,
    acknowledged: 0,
    lost: 0,
    half: 0,
    other: 0,
    early: 0,
    openings: 0,
    slowest: 0,
  };
  let store = newStore(folder, random);
  let next = new Victim(program);
  for (let cycle = 1; cycle <= cycles; cycle++) {
    const victim = next;
    await victim.ready();
    victim.start(orderFor(store, syncOnCommit, random));
    next = new Victim(program);
    await momentOfDeath(victim, tally.openings / Math.max(1, tally.checked), random);
    const { lines, errors, killed, status } = await victim.kill();
    tally.cycles++;
    takeIn(lines, store, tally, notes);
    // Ending by itself is a failure too: with nothing left to do, it waits for a promise that nobody will settle.
    const outcome = { errors, killed, status, notes };
    expect(outcome, `SEED=${seed}, cycle ${cycle}`).toEqual({
      errors: '',
      killed: true,
      status: null,
      notes: [],
    });
    if (cycle % CYCLES_PER_STORE !== 0 && cycle !== cycles) continue;
    // The last opener of a store is let live: it opens, checks, writes and closes.
    await next.ready();
    next.start(orderFor(store, syncOnCommit, random, 5));
    const { lines: last, status: end } = await next.end();
    takeIn(last, store, tally, notes);
    expect({ status: end, notes }, `SEED=${seed}, after cycle ${cycle}`).toEqual({ status: 0, notes: [] });
    rmSync(store.directory, { recursive: true });
    store = newStore(folder, random);
    next = new Victim(program);
  }
  await next.kill();
  return tally;
}

test.each([true, false])(
  'kill -9: nothing acknowledged is lost and nothing is half there, syncOnCommit %s',
  async (syncOnCommit) => {
    const program = await bundleProgram('test/crash/writer.ts', temporaryFolder());
    const tally = await killAgainAndAgain(program, syncOnCommit, CYCLES);
    process.stdout.write(`kill -9, syncOnCommit ${syncOnCommit}: ${JSON.stringify(tally)}\n`);
    expect(tally).toMatchObject({ cycles: CYCLES, lost: 0, half: 0, other: 0 });
    expect(tally.checked).toBeGreaterThan(CYCLES / 3);
    expect(tally.acknowledged).toBeGreaterThan(CYCLES);
  },
  long ? 3_600_000 : 60_000,
);
