/*
 * Two openers. In a race of 8 processes for one store exactly one gets it; each of the others is told LOCKED and the
 * winner's process number. The winner counts its win in the store, so a second writer would be seen in the count too;
 * then it closes or is killed. Beside the races a matrix of ways past a lock, each also after a holder was killed.
 *
 * The control races without a lock, and must be seen to have several winners.
 */
import { cpSync, linkSync, mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Worker } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';
import { AegisError } from '../../src/base/errors.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { randomFrom } from '../support/codec-data.ts';
import { temporaryFolder } from '../support/place.ts';
import { bundleProgram, hasRuntime, Program } from '../support/programs.ts';
import { report } from '../support/report.ts';
import { long, seed, sized } from '../support/seed.ts';
import type { OpenOutcome } from './opener.ts';

const RACERS = 8;
/** Races of the control, which ends with the first that has several winners. */
const CONTROL_RACES = 40;
const RACES = Number(process.env['RACES'] ?? sized(6, 25, 1000));
/** Races of processes that were started for it, and hold nothing from the race before. */
const FRESH_RACES = long ? 50 : 1;
/** Milliseconds between the order and the start. */
const LEAD = 15;
const KILLS_SHARE = 0.3;
const TIMEOUT = long ? 7_200_000 : 300_000;

const RUNTIMES = (['node', 'newest', 'deno', 'bun'] as const).filter(hasRuntime);

const seen = {
  races: 0,
  wrong: 0,
  'with fresh processes': 0,
  'winners killed': 0,
  'losers told the winner': 0,
};
const cells = { tried: 0, 'in the control at most': 0 };

async function programPath(): Promise<string> {
  return bundleProgram('test/engine/opener.ts', temporaryFolder());
}

/** Lets all open at one moment; answers what came of it. */
async function startRace(racers: readonly Program[], folder: string, unlocked = false) {
  const begin = Date.now() + LEAD;
  return Promise.all(racers.map((racer) => racer.ask<OpenOutcome>('race', folder, begin, unlocked)));
}

/** Checks that exactly one won and all others know it; answers its place. */
function winnerOf(racers: readonly Program[], outcomes: readonly OpenOutcome[], races: number): number {
  const shown = `SEED=${seed}, race ${races}: ${JSON.stringify(outcomes)}`;
  const winners = [...outcomes.keys()].filter((place) => outcomes[place]!.opened);
  expect(winners.length, shown).toBe(1);
  const won = winners[0]!;
  expect(outcomes[won]!.wins, shown).toBe(races);
  const { pid } = racers[won]!;
  for (const [place, outcome] of outcomes.entries()) {
    if (place === won) continue;
    expect({ code: outcome.code, pid: outcome.pid }, shown).toEqual({ code: 'LOCKED', pid });
    seen['losers told the winner']++;
  }
  return won;
}

test(
  `openers: of ${RACERS} processes in ${RUNTIMES.join(', ')} exactly one wins, and the others are told which`,
  async () => {
    const random = randomFrom(seed);
    const path = await programPath();
    const folder = join(temporaryFolder(), 'store');
    const start = (place: number): Program => new Program(path, RUNTIMES[place % RUNTIMES.length]);
    let racers = Array.from({ length: RACERS }, (_, place) => start(place));
    for (let races = 0; races < RACES; races++) {
      const isFresh = races > 0 && races <= FRESH_RACES;
      if (isFresh) {
        await Promise.all(racers.map((racer) => racer.kill()));
        racers = racers.map((_, place) => start(place));
      }
      const outcomes = await startRace(racers, folder);
      if (outcomes.filter(({ opened }) => opened).length !== 1) seen.wrong++;
      const won = winnerOf(racers, outcomes, races);
      seen.races++;
      if (isFresh) seen['with fresh processes']++;
      if (random(100) < KILLS_SHARE * 100) {
        await racers[won]!.kill();
        racers[won] = start(won);
        seen['winners killed']++;
      } else await racers[won]!.ask('close');
    }
    await Promise.all(racers.map((racer) => racer.kill()));
    const engine = await StorageEngine.open({ backend: 'local', dataDirectory: folder });
    expect(engine.getString('wins')).toBe(String(RACES));
    expect((await engine.verify()).problems).toEqual([]);
    await engine.close();
  },
  TIMEOUT,
);

test(
  'openers: control: without a lock several win, and the race tells',
  async () => {
    const path = await programPath();
    const racers = Array.from({ length: RACERS }, () => new Program(path));
    // On a busy machine they may start one after the other, and whoever comes late meets a store that is there.
    for (let races = 0; races < CONTROL_RACES && cells['in the control at most'] < 2; races++) {
      const outcomes = await startRace(racers, join(temporaryFolder(), 'store'), true);
      const winners = outcomes.filter(({ opened }) => opened).length;
      cells['in the control at most'] = Math.max(cells['in the control at most'], winners);
      if (winners > 1) expect(() => winnerOf(racers, outcomes, 0)).toThrow();
    }
    await Promise.all(racers.map((racer) => racer.kill()));
    expect(cells['in the control at most']).toBeGreaterThan(1);
  },
  TIMEOUT,
);

// --- the matrix -----------------------------------------------------------------------------------------------

/** Ways to a held store: each answers the path to open, and whether who opens there is refused and told by whom. */
const WAYS: Record<string, (store: string) => { path: string; expected: 'told' | 'refused' | 'opened' }> = {
  'the same path': (path) => ({ path, expected: 'told' }),
  'a linked folder': (store) => {
    symlinkSync(store, `${store}-link`);
    return { path: `${store}-link`, expected: 'told' };
  },
  'a path with dots': (store) => ({ path: join(store, '..', 'x', '..', 'store'), expected: 'told' }),
  'a renamed folder': (store) => {
    renameSync(store, `${store}-moved`);
    return { path: `${store}-moved`, expected: 'told' };
  },
  'a hard link of its data': (store) => {
    mkdirSync(`${store}-twin`);
    linkSync(join(store, 'data'), join(`${store}-twin`, 'data'));
    // The file that says who holds the store lies in the other folder.
    return { path: `${store}-twin`, expected: 'refused' };
  },
  'its file `lock` deleted': (path) => {
    rmSync(join(path, 'lock'));
    return { path, expected: 'refused' };
  },
  'a copy': (store) => {
    cpSync(store, `${store}-copy`, { recursive: true });
    return { path: `${store}-copy`, expected: 'opened' };
  },
};

const OPENERS = ['a second process', 'the same process', 'a worker'] as const;

type Ask = (path: string, readOnly: boolean) => Promise<OpenOutcome>;

/** One that holds a store, and one that tries to open it. */
interface Pair {
  readonly pid: number;
  put(key: string): Promise<unknown>;
  close(): Promise<unknown>;
  readonly tryOpen: Ask;
  readonly closeTried: () => Promise<unknown>;
}

async function openHere(path: string, readOnly: boolean): Promise<[OpenOutcome, StorageEngine | undefined]> {
  try {
    return [{ opened: true }, await StorageEngine.open({ backend: 'local', dataDirectory: path, readOnly })];
  } catch (error) {
    if (!(error instanceof AegisError)) throw error;
    return [{ opened: false, code: error.code, ...(error.pid ? { pid: error.pid } : {}) }, undefined];
  }
}

async function makePair(path: string, opener: (typeof OPENERS)[number], store: string): Promise<Pair> {
  if (opener === 'a second process') {
    const [holder, other] = [new Program(path), new Program(path)];
    expect(await holder.ask('open', store, false)).toEqual({ opened: true });
    return {
      pid: holder.pid,
      put: (key) => holder.ask('put', key, 'x'),
      close: () => holder.ask('close'),
      tryOpen: (...given) => other.ask('open', ...given),
      closeTried: () => other.ask('close'),
    };
  }
  const [, engine] = await openHere(store, false);
  onTestFinished(() => engine?.close().catch(() => undefined));
  const holder = {
    pid: process.pid,
    put: (key: string) => engine!.put(key, 'x'),
    close: () => engine!.close(),
  };
  if (opener === 'a worker') {
    const worker = new Worker(path, { stdin: true, stdout: true });
    onTestFinished(async () => void (await worker.terminate()));
    const answers = createInterface({ input: worker.stdout })[Symbol.asyncIterator]();
    const ask = async (...command: unknown[]): Promise<OpenOutcome> => {
      worker.stdin!.write(`${JSON.stringify(command)}\n`);
      return JSON.parse((await answers.next()).value as string) as OpenOutcome;
    };
    return { ...holder, tryOpen: (...given) => ask('open', ...given), closeTried: () => ask('close') };
  }
  let tried: StorageEngine | undefined;
  const tryOpen: Ask = async (...given) => {
    const [outcome, opened] = await openHere(...given);
    tried = opened;
    return outcome;
  };
  return { ...holder, tryOpen, closeTried: async () => tried?.close() };
}

for (const opener of OPENERS) {
  test.each(long ? [false, true] : [opener === 'a second process'])(
    `openers: no way leads ${opener} past a holder, after a killed one: %s`,
    async (afterKill) => {
      const path = await programPath();
      for (const [at, [way, lead]] of Object.entries(WAYS).entries()) {
        if ((at + seed) % sized(opener === 'a second process' ? 2 : 3, 1, 1) !== 0) continue;
        const store = join(temporaryFolder(), 'store');
        if (afterKill) {
          const killed = new Program(path);
          await killed.ask('open', store, false);
          await killed.ask('put', 'killed', 'x');
          await killed.kill();
        }
        const pair = await makePair(path, opener, store);
        await pair.put('before');
        const { path: other, expected } = lead(store);
        for (const readOnly of [false, true]) {
          const where = `${opener}, ${way}, read-only ${readOnly}, after a kill ${afterKill}`;
          const { opened, code, pid } = await pair.tryOpen(other, readOnly);
          const told = expected === 'told' ? pair.pid : undefined;
          if (expected === 'opened') {
            expect({ opened }, where).toEqual({ opened: true });
            await pair.closeTried();
          } else expect({ opened, code, pid }, where).toEqual({ opened: false, code: 'LOCKED', pid: told });
          cells.tried++;
        }
        // The holder notices nothing, and the next one finds everything.
        await pair.put('after');
        // Through a path that leads elsewhere by now it may end with an error, but it ends.
        await Promise.resolve(pair.close()).catch(() => undefined);
        // A copy is another store, and beside the hard link there is no log.
        const place = way === 'a copy' || way === 'a hard link of its data' ? store : other;
        expect(await pair.tryOpen(place, false), way).toMatchObject({ opened: true });
        await pair.closeTried();
        const engine = await StorageEngine.open({ backend: 'local', dataDirectory: place });
        const keys = [...(afterKill ? ['killed'] : []), 'before', 'after'];
        expect(engine.getMany(keys), way).not.toContain(undefined);
        await engine.close();
      }
    },
    TIMEOUT,
  );
}

test(
  'openers: readers stand side by side, keep a writer out and are kept out by one',
  async () => {
    const path = await programPath();
    const store = join(temporaryFolder(), 'store');
    const [writer, one, two] = [new Program(path), new Program(path), new Program(path)];
    await writer.ask('open', store, false);
    await writer.ask('put', 'key', 'x');
    for (const reader of [one, two]) {
      expect(await reader.ask('open', store, true)).toMatchObject({ code: 'LOCKED', pid: writer.pid });
    }
    await writer.kill();
    for (const reader of [one, two]) expect(await reader.ask('open', store, true)).toEqual({ opened: true });
    const next = new Program(path);
    const refused = await next.ask<OpenOutcome>('open', store, false);
    expect(refused.code).toBe('LOCKED');
    expect([one.pid, two.pid]).toContain(refused.pid);
    await one.kill();
    expect(await next.ask('open', store, false)).toMatchObject({ code: 'LOCKED', pid: two.pid });
    await two.kill();
    expect(await next.ask('open', store, false)).toEqual({ opened: true });
    await next.ask('close');
  },
  TIMEOUT,
);

test('openers: figures', () => {
  expect(seen.wrong).toBe(0);
  expect(seen['losers told the winner']).toBe(seen.races * (RACERS - 1));
  expect(cells.tried).toBeGreaterThan(0);
  report(
    'two openers',
    {
      [`races of ${RACERS} processes`]: seen.races,
      'with fresh processes': seen['with fresh processes'],
      'winners killed -9': seen['winners killed'],
      'races without exactly one winner': seen.wrong,
      'losers, all told the winner': seen['losers told the winner'],
      'ways past a holder tried, none open': cells.tried,
      'winners in the control': cells['in the control at most'],
      runtimes: RUNTIMES.join('/'),
    },
    'npx vitest run test/engine/openers.test.ts',
  );
});
