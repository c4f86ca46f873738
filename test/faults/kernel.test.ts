/*
 * I/O errors from the kernel: a program writes a local store while `strace` makes its n-th system call of a kind fail,
 * or kills it there. Whoever opens the store next finds everything that was acknowledged and nothing that was refused.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { StorageEngine } from '../../src/engine/engine.ts';
import '../../src/local.ts';
import { temporaryFolder } from '../support/place.ts';
import { bundleProgram } from '../support/programs.ts';
import { report } from '../support/report.ts';
import { long, seed, sized } from '../support/seed.ts';

/**
 * Calls the local backend makes (`pwritev`: several parts at once), and which of each fail in the quick size: in the
 * long one every one does.
 */
const CALLS: Readonly<Record<string, readonly number[]>> = {
  fdatasync: [2, 9, 17],
  fsync: [1, 2],
  pwrite64: [5, 14, 30],
  pwritev: [1, 2],
  openat: [3, 9],
  ftruncate: [1],
  unlink: [1],
};
const FAULTS = ['error=EIO', 'error=ENOSPC', 'signal=SIGKILL'] as const;
const every = Array.from({ length: 400 }, (_, at) => at + 1);
/** Nothing here waits; a program that is not through by then hangs. */
const HANG = 120_000; // ms

const CODES = ['IO_ERROR', 'OUT_OF_SPACE', 'STORE_FAILED', 'COMMIT_UNKNOWN'];

const canTrace = spawnSync('strace', ['-f', '--seccomp-bpf', '-o', '/dev/null', '/bin/true']).status === 0;

interface Told {
  readonly lines: readonly string[];
  /** Whether a call was made to fail, or the program was killed at one. */
  readonly hit: boolean;
}

/** Runs the program with a fault; `when` 0: with none. */
function tell(program: string, folder: string, call: string, fault: string, when: number): Promise<Told> {
  const directory = join(folder, 'store');
  const trace = join(folder, 'trace');
  const files = ['', '/data', '/log-1', '/log-2', '/log-3', '/log-4', '/log-5'].map(
    (name) => directory + name,
  );
  // Counted for each thread: one does the asynchronous syncs.
  const child = spawn(
    'strace',
    [
      // The filter makes it cheap, but no signal is delivered where it is in use.
      ...['-f', '-qq', '-o', trace, ...(fault.startsWith('signal') ? [] : ['--seccomp-bpf'])],
      ...files.flatMap((file) => ['-P', file]),
      ...['-e', `trace=${call}`, '-e', `inject=${call}:${fault}:when=${when}`],
      ...[process.execPath, program, directory, '0'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, UV_THREADPOOL_SIZE: '1' } },
  );
  let text = '';
  let errors = '';
  child.stdout.on('data', (chunk) => {
    text += String(chunk);
  });
  child.stderr.on('data', (chunk) => {
    errors += String(chunk);
  });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`the program hangs after: ${text.slice(-300)}`));
    }, HANG);
    child.once('close', () => {
      clearTimeout(timer);
      const lines = text.split('\n').slice(0, -1);
      const wasKilled = fault.startsWith('signal') && lines.at(-1) !== 'end';
      if (!wasKilled && lines.at(-1) !== 'end') reject(new Error(`it ended early: ${text} ${errors}`));
      const traced = existsSync(trace) ? readFileSync(trace, 'utf8') : '';
      resolve({ lines, hit: wasKilled || traced.includes('(INJECTED)') });
    });
  });
}

/** What each commit became, by its number. */
function outcomesOf(lines: readonly string[]): Map<number, 'done' | 'refused' | 'unknown'> {
  const outcomes = new Map<number, 'done' | 'refused' | 'unknown'>();
  for (const line of lines) {
    const [what, name, code, errno] = line.split(' ');
    if (what === 'failed') throw new Error(line);
    // Begun and not answered when it died: nobody knows.
    if (what === 'begin') outcomes.set(Number(name), 'unknown');
    if (what === 'done') outcomes.set(Number(name), 'done');
    if (what !== 'refused') continue;
    expect(CODES, line).toContain(code);
    expect(['EIO', 'ENOSPC'], line).toContain(errno);
    if (/^\d/.test(name!) && code !== 'COMMIT_UNKNOWN') outcomes.set(Number(name), 'refused');
  }
  return outcomes;
}

/** Opens what is left; answers how many acknowledged commits are missing, or refused ones there, or half. */
async function wrongIn(directory: string, lines: readonly string[]): Promise<string[]> {
  if (!lines.includes('opened') && !existsSync(directory)) return [];
  const engine = await StorageEngine.open({ backend: 'local', dataDirectory: directory });
  const wrong: string[] = [];
  for (const [n, outcome] of outcomesOf(lines)) {
    const [a, b] = [engine.has(`a ${n}`), engine.has(`b ${n}`)];
    if (a !== b) wrong.push(`commit ${n} is half there`);
    if (outcome !== 'unknown' && a !== (outcome === 'done')) wrong.push(`commit ${n} was ${outcome}`);
  }
  const { ok, problems } = await engine.verify();
  if (!ok) wrong.push(...problems.map(({ message }) => message));
  await engine.put('works', 'again');
  await engine.close();
  return wrong;
}

const why = canTrace ? '' : ' (skipped: needs strace, and to be allowed to trace)';

test(
  `I/O errors from the kernel: at any system call nothing answered is lost${why}`,
  async ({ skip }) => {
    if (!canTrace) {
      expect(process.env['AEGIS_REQUIRE_ALL']).toBeUndefined();
      skip('needs strace, and to be allowed to trace');
    }
    const folder = temporaryFolder();
    const program = await bundleProgram('test/faults/kernel-writer.ts', folder);
    const totals = { runs: 0, 'calls hit': 0, killed: 0, acknowledged: 0, refused: 0, unknown: 0 };
    const kinds = new Set<string>();
    for (const [call, few] of Object.entries(CALLS)) {
      for (const fault of FAULTS) {
        const whens = sized(few.slice(0, 1), few, every);
        for (const when of whens) {
          const told = await tell(program, folder, call, fault, when);
          totals.runs++;
          try {
            expect(await wrongIn(join(folder, 'store'), told.lines)).toEqual([]);
          } catch (cause) {
            throw new Error(`inject=${call}:${fault}:when=${when}, told ${told.lines.join(', ')}`, { cause });
          }
          for (const outcome of outcomesOf(told.lines).values()) {
            totals[outcome === 'done' ? 'acknowledged' : outcome]++;
          }
          rmSync(join(folder, 'store'), { recursive: true, force: true });
          if (!told.hit && long) break;
          if (!told.hit) continue;
          totals['calls hit']++;
          kinds.add(call);
          if (fault === 'signal=SIGKILL') totals.killed++;
        }
      }
    }
    const command = 'npx vitest run test/faults/kernel.test.ts';
    report('I/O errors from the kernel (strace)', { ...totals, lost: 0, partial: 0, hangs: 0 }, command);
    expect([...kinds].sort(), `SEED=${seed}`).toEqual(Object.keys(CALLS).sort());
    for (const name of ['killed', 'refused', 'unknown'] as const) {
      expect(totals[name], name).toBeGreaterThan(0);
    }
    expect(totals.acknowledged).toBeGreaterThan(100);
  },
  long ? 6 * 3_600_000 : 600_000,
);
