/* The built command line as a process of its own: what only real pipes, signals and exit statuses can show. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../support/place.ts';
import { report } from '../support/report.ts';
import { long } from '../support/seed.ts';
import { filled, Place } from './store.ts';

const CLI = fileURLToPath(new URL('../../build/cli.js', import.meta.url));

/** Runs a line of a POSIX shell, in which `aegis` is the built command. */
function sh(line: string, input = ''): { status: number | null; output: string; errors: string } {
  const script = `set -o pipefail 2>/dev/null; aegis() { "${process.execPath}" "${CLI}" "$@"; }; ${line}`;
  const { status, stdout, stderr } = spawnSync('bash', ['-c', script], { input, encoding: 'utf8' });
  return { status, output: stdout, errors: stderr };
}

test('cli process: exit statuses are 0, 1, 2 and 3', async () => {
  const { folder } = await filled({ k: 'v' });
  const absent = join(temporaryFolder(), 'absent');
  const line = `aegis -d ${folder} get k; echo $?; aegis -d ${folder} get x; echo $?; aegis; echo $?; aegis -d ${absent} get k; echo $?`;
  const { output, errors } = sh(line);
  expect(output).toBe('v\n0\n1\n2\n3\n');
  expect(errors).toContain('Usage: aegis ');
  expect(errors).toMatch(/aegis: NOT_FOUND: [^\n]+\n$/);
});

test('cli process: a dump goes through a pipe into a load, and a reader that leaves is no failure', async () => {
  const records = Array.from({ length: 3000 }, (_, at) => [`key-${at}`, 'v'.repeat(100)] as const);
  const { folder } = await filled(records);
  const copy = join(temporaryFolder(), 'copy');
  const copied = sh(`aegis -d ${folder} dump | aegis -d ${copy} load - --no-progress`);
  expect(copied).toMatchObject({ status: 0, errors: '' });
  expect(copied.output).toMatch(/^3,000 records in /);
  const same = sh(`aegis -d ${folder} dump | md5sum; aegis -d ${copy} dump | md5sum`);
  const [one, other] = same.output.trimEnd().split('\n');
  expect(one).toBe(other);
  const left = sh(`aegis -d ${folder} scan | head -n 1`);
  expect(left).toEqual({ status: 0, output: `key-0\t${'v'.repeat(100)}\n`, errors: '' });
  const left2 = sh(`aegis -d ${folder} --json dump | true`);
  expect({ status: left2.status, errors: left2.errors }).toEqual({ status: 0, errors: '' });
});

test('cli process: output to a full disk is a failure', async (context) => {
  const { folder } = await filled({ k: 'v'.repeat(1000) });
  if (sh('echo x > /dev/full').status === 0) context.skip('there is no /dev/full');
  const { status, errors } = sh(`aegis -d ${folder} scan > /dev/full`);
  expect(status).toBe(3);
  expect(errors).toMatch(/^aegis: ENOSPC: [^\n]+\n$/);
});

/** A load that runs, and what it has said on standard error. */
class Load {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  errors = '';
  output = '';

  constructor(words: readonly string[]) {
    this.child = spawn(process.execPath, [CLI, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.errors += text;
    });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.output += text;
    });
    this.ended = new Promise((resolve) => this.child.once('close', resolve));
    onTestFinished(async () => {
      this.child.kill('SIGKILL');
      await this.ended;
    });
  }
}

test('cli process: a load shows progress, is stopped by Ctrl-C, leaves a sound store, and goes on', {
  timeout: 600_000,
}, async () => {
  const total = long ? 1_000_000 : 40_000;
  const file = join(temporaryFolder(), 'records.ndjson');
  const written = openSync(file, 'w');
  for (let at = 0; at < total; at += 1000) {
    const some = Array.from({ length: 1000 }, (_, more) => {
      const key = `key-${String((at + more) * 7919).padStart(12, '0')}`;
      return `${JSON.stringify({ key, value: `value ${at + more} ${'x'.repeat(60)}` })}\n`;
    });
    writeSync(written, some.join(''));
  }
  closeSync(written);
  const place = new Place();
  const first = new Load(['-d', place.folder, 'load', file, '--batch', '200']);
  await expect.poll(() => first.errors, { timeout: 300_000, interval: 5 }).toMatch(/25 %/);
  first.child.kill('SIGINT');
  expect(await first.ended, first.errors).toBe(130);
  const [, records = '', skip = ''] =
    /aegis: interrupted: ([\d,]+) records are in; go on with: aegis [^\n]* load \S+ --batch 200 --skip (\d+)\n$/.exec(
      first.errors,
    ) ?? [];
  const there = Number(records.replaceAll(',', ''));
  expect(there).toBe(Number(skip));
  expect(there).toBeGreaterThan(total / 10);
  expect(there).toBeLessThan(total);
  expect(await place.open((engine) => engine.verify())).toMatchObject({ ok: true });
  expect((await place.run(['count'])).output).toBe(`${there}\n`);
  const second = new Load(['-d', place.folder, 'load', file, '--skip', skip, '--json']);
  expect(await second.ended, second.errors).toBe(0);
  expect(JSON.parse(second.output)).toMatchObject({ records: total - there, bad: 0 });
  expect((await place.run(['count'])).output).toBe(`${total}\n`);
  const figures = { records: total, 'in when interrupted': there, 'lost or twice': 0 };
  report('command line: load, Ctrl-C, go on', figures, 'npx vitest run test/cli/process.test.ts');
});

test('cli process: a shell takes its lines from a pipe', () => {
  const folder = join(temporaryFolder(), 'store');
  const { status, output } = sh(`aegis -d ${folder} shell`, 'begin\nput a 1\ncommit\nget a\n');
  expect({ status, output }).toEqual({ status: 0, output: '1\n' });
});

test('cli process: the promised configuration file works as it stands, but for its folder', () => {
  const folder = join(temporaryFolder(), 'aegis');
  const config = join(temporaryFolder(), 'aegis.toml');
  const text = `[storage]
backend = "local"
data_directory = "/var/aegis"
compression = "lz4"
buffer_pool_size = "1GB"
wal_enabled = true
sync_on_commit = true
`;
  writeFileSync(config, text.replace('/var/aegis', folder));
  const { status, output } = sh(`aegis --config ${config} put k v && aegis --config ${config} get k`);
  expect({ status, output }).toEqual({ status: 0, output: 'v\n' });
});
