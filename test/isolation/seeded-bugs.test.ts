/*
 * The checkers' own trial: engines with one bug of isolation each (test/isolation/seeded-bugs.ts) run the same random
 * histories, and the checkers have to find every one. An exception of the engine does not count.
 */
import { expect, test } from 'vitest';
import { temporaryFolder } from '../support/place.ts';
import { report } from '../support/report.ts';
import { long, seed, sized } from '../support/seed.ts';
import { judgeBlackBox } from './judge.ts';
import { patchedEngine } from './patched-engine.ts';
import { type OpenEngine, RandomHistory } from './random-history.ts';
import { seededBugs } from './seeded-bugs.ts';
import { checkWhiteBox } from './white-box.ts';

/** Histories after which a bug counts as missed, those of the engine as it is, and the transactions of each. */
const HISTORIES = long ? 400 : 120;
const HISTORIES_UNTOUCHED = sized(12, 120, 400);
const TRANSACTIONS = 200;
const MINUTE = 60_000;

interface Trial {
  readonly whiteBox: number;
  readonly blackBox: number;
  readonly example: string;
}

/** After how many histories each checker found something; 0: never. */
async function trial(open: OpenEngine, wantsBlackBox: boolean, most = HISTORIES): Promise<Trial> {
  let whiteBox = 0;
  let blackBox = 0;
  let example = '';
  for (let index = 1; index <= most; ++index) {
    const run = new RandomHistory(open, seed * 7_000_003 + index);
    const history = await run.run(TRANSACTIONS).catch(() => undefined);
    if (!history) continue;
    const white = checkWhiteBox(history);
    const black = judgeBlackBox(history, run.settings.listKeys);
    if (whiteBox === 0 && white[0]) {
      whiteBox = index;
      example = white[0].what;
    }
    if (blackBox === 0 && black.length > 0) blackBox = index;
    if (whiteBox > 0 && (blackBox > 0 || !wantsBlackBox)) break;
  }
  return { whiteBox, blackBox, example };
}

test('isolation: the checkers find every seeded bug', { timeout: 60 * MINUTE }, async () => {
  const folder = temporaryFolder();
  const untouched = await patchedEngine([], folder, 'untouched');
  const quiet = await trial(untouched, false, HISTORIES_UNTOUCHED).then(
    ({ whiteBox, blackBox }) => whiteBox + blackBox,
  );
  expect(quiet, 'histories of the engine as it is with a violation').toBe(0);
  const missed: string[] = [];
  let byWhiteBox = 0;
  let byBlackBox = 0;
  // In the quick size a share of them, another one with each seed.
  const bugs = seededBugs.filter((_, at) => (at + seed) % sized(4, 1, 1) === 0);
  for (const { name, patches, inLists } of bugs) {
    const found = await trial(await patchedEngine(patches, folder, name), inLists);
    if (process.env['VERBOSE']) process.stdout.write(`TRIAL ${found.whiteBox} ${found.blackBox} ${name}\n`);
    if (found.whiteBox > 0) ++byWhiteBox;
    else missed.push(`white box: ${name}`);
    if (found.blackBox > 0) ++byBlackBox;
    else if (inLists) missed.push(`black box: ${name}`);
  }
  expect(missed, `SEED=${seed}`).toEqual([]);
  report(
    'seeded isolation bugs found',
    { bugs: bugs.length, 'found by the white box': byWhiteBox, 'found by the black box': byBlackBox },
    'npx vitest run test/isolation/seeded-bugs',
  );
});
