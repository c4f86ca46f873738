/* Runs killers, each in a process of its own, a few at a time. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { forge } from './forge.ts';
import type { Killer, Mutant } from './mutant.ts';
import { OUTCOME, type Outcome } from './outcome.ts';

/** Programs that run at the same time. */
const AT_ONCE = 2;
/** Seconds after which a killer counts as hanging, which is no verdict. */
const PATIENCE = 240;

const waiting: (() => void)[] = [];
let running = 0;

/** Runs a killer against the engine as it is (no mutant), or as a mutant. */
export async function run(killer: Killer, mutant: Mutant | undefined, seed: number): Promise<Outcome> {
  if (running >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  running++;
  const folder = mkdtempSync(join(tmpdir(), 'aegis-mutant-'));
  try {
    const program = join(folder, 'program.mjs');
    await forge(killer.file, mutant, program);
    return await execute(program, killer, seed);
  } catch (error) {
    return { result: 'broken', tests: 0, test: '', message: String(error) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
    running--;
    waiting.shift()?.();
  }
}

function execute(program: string, { test, env }: Killer, seed: number): Promise<Outcome> {
  const child = spawn(process.execPath, [program], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      AEGIS_FULL: '1',
      SEED: String(seed),
      MUTANT_TESTS: test.source,
      ...env,
    },
  });
  let said = '';
  child.stdout.on('data', (text) => {
    said += String(text);
  });
  child.stderr.on('data', (text) => {
    said += String(text);
  });
  let hangs = false;
  const timer = setTimeout(() => {
    hangs = true;
    child.kill('SIGKILL');
  }, PATIENCE * 1000);
  return new Promise((resolve) => {
    child.once('close', () => {
      clearTimeout(timer);
      const line = said.split('\n').findLast((text) => text.startsWith(OUTCOME));
      if (line !== undefined) return resolve(JSON.parse(line.slice(OUTCOME.length)) as Outcome);
      const message = hangs
        ? `no answer within ${PATIENCE} s`
        : `ended without an outcome: ${said.slice(-2000)}`;
      resolve({ result: 'broken', tests: 0, test: '', message });
    });
  });
}
