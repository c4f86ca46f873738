/* Simulated power cuts from a command line: --seed N --states N --profile NAME; ends with 1 when a promise is broken. */
import process from 'node:process';
import { parseArgs } from 'node:util';
import { isProfile } from './profile.ts';
import { simulate } from './simulate.ts';
import { inWords } from './violation.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    states: { type: 'string', default: '20000' },
    profile: { type: 'string', default: 'mixed' },
  },
});
const { profile } = values;
if (!isProfile(profile)) throw new Error(`there is no profile ${profile}`);
const started = process.cpuUsage();
try {
  const tally = await simulate({ seed: Number(values.seed), states: Number(values.states), profile });
  const { user, system } = process.cpuUsage(started);
  const seconds = (user + system) / 1e6;
  process.stdout.write(
    `${JSON.stringify({ profile, ...tally, seconds, perSecond: tally.states / seconds })}\n`,
  );
} catch (error) {
  process.stdout.write(`${inWords(error)}\n`);
  process.exitCode = 1;
}
