import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { hostOf, runtimeHost } from '../../src/backend/host.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { temporaryFolder } from '../support/place.ts';
import { bundleProgram } from '../support/programs.ts';

test('host: the clock gives the time of day and never goes back', () => {
  const [first, second] = [runtimeHost.now(), runtimeHost.now()];
  expect(Math.abs(first - Date.now())).toBeLessThan(60_000);
  expect(second).toBeGreaterThanOrEqual(first);
});

test('host: random fills arrays of any size, beyond what one call of the runtime may fill', () => {
  const bytes = new Uint8Array(200_000);
  runtimeHost.random(bytes);
  for (let begin = 0; begin < bytes.length; begin += 1000) {
    expect(new Set(bytes.subarray(begin, begin + 1000)).size).toBeGreaterThan(150);
  }
  expect(() => runtimeHost.random(new Uint8Array(0))).not.toThrow();
});

test('host: later runs once, and not at all when it was called off', async () => {
  const ran: string[] = [];
  runtimeHost.later(1, () => ran.push('one'));
  runtimeHost.later(1, () => ran.push('never'))();
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(ran).toEqual(['one']);
});

test('host: a timer keeps no process alive', async () => {
  const program = await bundleProgram('test/backend/waiter.ts', temporaryFolder());
  const { status, stdout, signal } = spawnSync(process.execPath, [program], { timeout: 20_000 });
  expect([status, signal, stdout.toString()]).toEqual([0, null, 'waiting\n']);
});

test("host: a backend's own host goes first", () => {
  const backend = new MemoryBackend();
  expect(hostOf(backend)).toBe(runtimeHost);
  const host = { ...runtimeHost };
  expect(hostOf(Object.assign(backend, { host }))).toBe(host);
});
