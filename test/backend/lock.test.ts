/*
 * Two openers of one store. The lock must keep out every other process and every other open of this one, by whatever
 * path they come; it must end with its holder; and it must let nobody in because a file beside the data was deleted,
 * copied or damaged. Whoever is refused learns the holder's process number, in a race too.
 *
 * The other processes run test/backend/locker.ts in Node and, where they are installed, in Deno and Bun.
 */
import { spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { LocalBackend } from '../../src/backend/local.ts';
import { temporaryFolder } from '../support/place.ts';
import {
  bundleProgram,
  flagsWithoutPrograms,
  hasRuntime,
  Program,
  type RuntimeName,
} from '../support/programs.ts';
import { sized } from '../support/seed.ts';
import type { LockOutcome } from './locker.ts';

const programs = mkdtempSync(join(realpathSync(tmpdir()), 'aegis-programs-'));
let locker = '';
let leaver = '';

beforeAll(async () => {
  [locker, leaver] = (await Promise.all([
    bundleProgram('test/backend/locker.ts', programs),
    bundleProgram('test/backend/leaver.ts', programs),
  ])) as [string, string];
});
afterAll(() => rmSync(programs, { recursive: true }));

const runtimes: readonly RuntimeName[] = ['node', 'newest', 'deno', 'bun'];
const pairs = runtimes.flatMap((one) => runtimes.map((two) => [one, two] as const));

function locked(pid: number | undefined): unknown {
  const evidence = pid === undefined ? {} : { pid };
  return expect.objectContaining({ name: 'AegisError', code: 'LOCKED', file: 'data', ...evidence });
}

function take(program: Program, folder: string, mode = 'exclusive', notBefore = 0): Promise<LockOutcome> {
  return program.ask<LockOutcome>('lock', folder, mode, notBefore);
}

for (const [one, two] of pairs) {
  const missing = !hasRuntime(one) || !hasRuntime(two);

  test.skipIf(missing)(`lock: a writer in ${one} keeps ${two} out, until it is killed`, async () => {
    const folder = join(temporaryFolder(), 'store');
    const [holder, other] = [new Program(locker, one), new Program(locker, two)];
    expect(await take(holder, folder)).toMatchObject({ locked: true });
    for (const mode of ['exclusive', 'shared']) {
      const refused = await take(other, folder, mode);
      expect(refused).toMatchObject({ locked: false, code: 'LOCKED', pid: holder.pid });
      expect(refused.message).toContain(
        `process ${holder.pid} on ${hostname()} (${one === 'newest' ? 'node' : one} `,
      );
    }
    await holder.kill();
    expect(await take(other, folder)).toMatchObject({ locked: true });
  });

  test.skipIf(missing)(
    `lock: readers in ${one} and ${two} stand side by side and keep writers out`,
    async () => {
      const folder = join(temporaryFolder(), 'store');
      const [first, second, writer] = [
        new Program(locker, one),
        new Program(locker, two),
        new Program(locker, two),
      ];
      expect(await take(writer, folder)).toMatchObject({ locked: true });
      await writer.ask('release');
      expect(await take(first, folder, 'shared')).toMatchObject({ locked: true });
      expect(await take(second, folder, 'shared')).toMatchObject({ locked: true });
      expect((await take(writer, folder)).pid).toBe(first.pid);
      await first.ask('release');
      expect((await take(writer, folder)).pid).toBe(second.pid);
      await second.kill();
      expect(await take(writer, folder)).toMatchObject({ locked: true });
    },
  );
}

test('lock: a second open in this process is refused, through the same backend or another', async () => {
  const folder = temporaryFolder();
  const backend = new LocalBackend(folder);
  const lock = await backend.lock('exclusive');
  for (const other of [backend, new LocalBackend(folder)]) {
    await expect(other.lock('exclusive')).rejects.toEqual(locked(process.pid));
    await expect(other.lock('shared')).rejects.toEqual(locked(process.pid));
  }
  // Closing other descriptors of the file must not give the lock away, as it would with fcntl locks.
  backend.open('data', { create: true }).close();
  await expect(backend.lock('exclusive')).rejects.toEqual(locked(process.pid));
  await lock.release();
  await lock.release();
  await (await backend.lock('exclusive')).release();
});

test('lock: of many opens at once in this process exactly one gets it', async () => {
  const folder = temporaryFolder();
  const tries = Array.from({ length: 20 }, () => new LocalBackend(folder).lock('exclusive'));
  const outcomes = await Promise.allSettled(tries);
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
  expect(refused.length).toBe(19);
  for (const { reason } of refused) expect(reason).toEqual(locked(process.pid));
});

test('lock: a worker of this process is refused', async () => {
  const folder = temporaryFolder();
  await new LocalBackend(folder).lock('exclusive');
  const worker = new Worker(locker, { stdin: true, stdout: true });
  onTestFinished(async () => void (await worker.terminate()));
  worker.stdin!.write(`${JSON.stringify(['lock', folder, 'exclusive'])}\n`);
  const [line] = (await createInterface({ input: worker.stdout })[Symbol.asyncIterator]().next()).value.split(
    '\n',
  );
  expect(JSON.parse(line)).toMatchObject({ locked: false, code: 'LOCKED', pid: process.pid });
});

test('lock: no other way to the folder or the file leads past it', async () => {
  const folder = temporaryFolder();
  const [store, link, moved, twin] = ['store', 'link', 'moved', 'twin'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
    string,
  ];
  await new LocalBackend(store).lock('exclusive');
  symlinkSync(store, link);
  await expect(new LocalBackend(link).lock('exclusive')).rejects.toEqual(locked(process.pid));
  await expect(new LocalBackend(join(store, '..', 'store')).lock('shared')).rejects.toEqual(
    locked(process.pid),
  );
  renameSync(store, moved);
  await expect(new LocalBackend(moved).lock('exclusive')).rejects.toEqual(locked(process.pid));
  mkdirSync(twin);
  linkSync(join(moved, 'data'), join(twin, 'data'));
  // The file that says who holds the store is in the other folder.
  await expect(new LocalBackend(twin).lock('exclusive')).rejects.toEqual(locked(undefined));
});

test('lock: deleting, damaging or replacing the file `lock` admits nobody', async () => {
  const folder = temporaryFolder();
  const file = join(folder, 'lock');
  await new LocalBackend(folder).lock('exclusive');
  const other = new Program(locker);
  const damages = [
    () => rmSync(file),
    () => writeFileSync(file, ''),
    () => writeFileSync(file, 'garbage'),
    () => writeFileSync(file, '{"pid":"1"}'.padEnd(512)),
    () => writeFileSync(file, 'null'.padEnd(512)),
    () => writeFileSync(file, Buffer.alloc(10_000_000, ' ')),
    () => {
      rmSync(file);
      mkdirSync(file);
    },
  ];
  for (const damage of damages) {
    damage();
    const refused = await take(other, folder);
    expect(refused).toMatchObject({ locked: false, code: 'LOCKED' });
    expect([refused.pid, refused.message]).toEqual([
      undefined,
      expect.stringContaining('did not say who it is'),
    ]);
  }
});

test('lock: a copy of the folder, its file `lock` included, is a store of its own', async () => {
  const folder = temporaryFolder();
  const [store, copy] = [join(folder, 'store'), join(folder, 'copy')];
  await new LocalBackend(store).lock('exclusive');
  cpSync(store, copy, { recursive: true });
  await new LocalBackend(copy).lock('exclusive');
  await expect(new LocalBackend(store).lock('exclusive')).rejects.toEqual(locked(process.pid));
});

test('lock: a released lock leaves no name behind, and a stranger that holds the file is not given one', async () => {
  const folder = temporaryFolder();
  await (await new LocalBackend(folder).lock('exclusive')).release();
  expect(readFileSync(join(folder, 'lock'), 'utf8').trim()).toBe('');
  await expectUnknownHolder(folder);
});

test.each([
  ['a process that is gone', { pid: 2 ** 22 + 1, begun: '1' }],
  ['a process that began at another moment', { pid: process.pid, begun: '1' }],
])('lock: what %s left in the file `lock` neither locks nor is believed', async (_who, left) => {
  const folder = temporaryFolder();
  const record = { host: hostname(), since: '2020-01-01T00:00:00.000Z', runtime: 'node 1', ...left };
  const leave = () => writeFileSync(join(folder, 'lock'), JSON.stringify(record).padEnd(512));
  leave();
  await (await new LocalBackend(folder).lock('exclusive')).release();
  leave();
  await expectUnknownHolder(folder);
});

/** Holds a folder's store by a program that writes nothing down. */
async function expectUnknownHolder(folder: string): Promise<void> {
  const stranger = spawn('flock', ['-x', join(folder, 'data'), '-c', 'echo held; exec sleep 60']);
  onTestFinished(() => void stranger.kill('SIGKILL'));
  await new Promise((resolve) => stranger.stdout.once('data', resolve));
  const begin = performance.now();
  await expect(new LocalBackend(folder).lock('exclusive')).rejects.toEqual(locked(undefined));
  expect(performance.now() - begin).toBeGreaterThan(90);
}

test('lock: a holder on another machine is named when nobody here is', async () => {
  const folder = temporaryFolder();
  await new LocalBackend(folder).lock('exclusive');
  const record = {
    pid: 4321,
    host: `not-${hostname()}`,
    since: '2020-01-01T00:00:00.000Z',
    runtime: 'node 1',
  };
  writeFileSync(join(folder, 'lock'), JSON.stringify(record).padEnd(512));
  const again = new LocalBackend(folder).lock('exclusive');
  await expect(again).rejects.toEqual(locked(4321));
  await expect(again).rejects.toThrow(`process 4321 on not-${hostname()} (node 1, since 2020`);
});

test('lock: a holder whose runtime keeps the name of the machine to itself is named without it', async () => {
  const folder = temporaryFolder();
  await new LocalBackend(folder).lock('exclusive');
  const record = { pid: 4321, host: '', since: '2020-01-01T00:00:00.000Z', runtime: 'deno 2' };
  writeFileSync(join(folder, 'lock'), JSON.stringify(record).padEnd(512));
  const again = new LocalBackend(folder).lock('exclusive');
  await expect(again).rejects.toThrow('in process 4321 (deno 2');
});

test('lock: a holder in this very process is called that', async () => {
  const folder = temporaryFolder();
  const lock = await new LocalBackend(folder).lock('exclusive');
  const again = new LocalBackend(folder).lock('exclusive');
  await expect(again).rejects.toThrow(
    /in process \d+ on .* \(node .*\); that is this very process, or a thread of it$/,
  );
  await expect(again).rejects.toMatchObject({ code: 'LOCKED', pid: process.pid });
  await lock.release();
});

test('lock: it waits a moment for a holder that is just leaving', async () => {
  const folder = temporaryFolder();
  const lock = await new LocalBackend(folder).lock('exclusive');
  rmSync(join(folder, 'lock'));
  const next = new LocalBackend(folder).lock('exclusive');
  await new Promise((resolve) => setTimeout(resolve, 30));
  await lock.release();
  await expect(next).resolves.toBeDefined();
});

test('lock: killed holders never leave anything to remove', { timeout: 120_000 }, async () => {
  const folder = temporaryFolder();
  const rounds = sized(8, 20, 300);
  for (let round = 0; round < rounds; round++) {
    const holder = new Program(locker);
    expect(await take(holder, folder, round % 3 === 0 ? 'shared' : 'exclusive')).toMatchObject(
      round === 0 ? { code: 'NOT_FOUND' } : { locked: true },
    );
    await holder.kill();
  }
});

const racing: readonly (readonly [RuntimeName, readonly RuntimeName[]])[] = [
  ['node', ['node']],
  ['bun', runtimes.filter(hasRuntime)],
];

for (const [needed, kinds] of racing) {
  const racersKind = `8 processes in ${kinds.join(', ')}`;

  test.skipIf(!hasRuntime(needed))(
    `lock: of ${racersKind} in a race exactly one wins, and every loser names it`,
    { timeout: 2_400_000 },
    async () => {
      const folder = join(temporaryFolder(), 'store');
      const start = (place: number) => new Program(locker, kinds[place % kinds.length]);
      const racers = Array.from({ length: 8 }, (_, place) => start(place));
      for (let round = 0; round < sized(12, 30, 5000); round++) {
        await Promise.all(racers.map((racer) => racer.ask('runtime')));
        const begin = Date.now() + 10;
        const outcomes = await Promise.all(racers.map((racer) => take(racer, folder, 'exclusive', begin)));
        const shown = JSON.stringify(outcomes);
        expect(outcomes.filter((outcome) => outcome.locked).length, shown).toBe(1);
        const won = outcomes.findIndex((outcome) => outcome.locked);
        const winner = racers[won]!;
        for (const [place, { code, pid }] of outcomes.entries()) {
          if (place !== won) expect({ code, pid }, shown).toEqual({ code: 'LOCKED', pid: winner.pid });
        }
        // Now and then the winner is killed; what it wrote down must not be taken for the next winner's word.
        if (round % 10 === 9) {
          await winner.kill();
          racers[won] = start(won);
        } else {
          await winner.ask('release');
        }
      }
    },
  );
}

test.each([
  ['flock', [] as string[]],
  ['a socket', flagsWithoutPrograms()],
])('lock: holding it through %s keeps no process alive', (_way, flags) => {
  const folder = temporaryFolder();
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [...flags, leaver, folder], {
    timeout: 20_000,
  });
  expect([status, signal, stdout.toString(), stderr.toString()]).toEqual([0, null, 'locked\n', '']);
});
