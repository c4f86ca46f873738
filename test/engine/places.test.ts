/*
 * Modes and paths of whole stores: files 0600 and folders 0700 under any umask, folders with odd names, nothing made
 * outside the store's folder, things that are no files in the place of its files, and folders that cannot be written.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import process from 'node:process';
import { expect, onTestFinished, type TestContext, test } from 'vitest';
import type { StorageConfig } from '../../src/config/config.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { folderState } from '../support/files.ts';
import { temporaryFolder } from '../support/place.ts';
import { refused } from '../support/refused.ts';

const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;

function open(dataDirectory: string, more: Partial<StorageConfig> = {}): Promise<StorageEngine> {
  return StorageEngine.open({ backend: 'local', dataDirectory, checkpointWalSize: '512KB', ...more });
}

/** A life: written until the log has several files and checkpoints, closed, and opened again. */
async function live(folder: string): Promise<void> {
  const engine = await open(folder, { syncOnCommit: false });
  for (let i = 0; i < 40; i++) await engine.put(`key ${i}`, 'x'.repeat(50_000));
  await engine.checkpoint();
  await engine.close();
  const again = await open(folder);
  expect(again.count()).toBe(40);
  await again.close();
}

function modeOf(path: string): string {
  return (statSync(path).mode & 0o7777).toString(8);
}

test.each(['0', '22', '77', '777'])('places: a store is nobody else’s under umask %s', async (mask) => {
  const above = temporaryFolder();
  const before = process.umask(Number.parseInt(mask, 8));
  onTestFinished(() => void process.umask(before));
  const folder = join(above, 'a', 'store');
  await live(folder);
  const engine = await open(folder); // whose log has files again
  onTestFinished(() => engine.close());
  for (let i = 0; i < 20; i++) await engine.put(`more ${i}`, 'x'.repeat(50_000));
  for (const made of [join(above, 'a'), folder]) expect([made, modeOf(made)]).toEqual([made, '700']);
  const names = readdirSync(folder);
  expect(names.length).toBeGreaterThan(3);
  for (const name of names) expect([name, modeOf(join(folder, name))]).toEqual([name, '600']);
});

test.each([
  ' leading and trailing ',
  '-rf',
  '$(touch owned); `touch owned` & "quotes" \'and\' *',
  'new\nline\ttab',
  'back\\slash %41 %00',
  'ключ 鍵 🔑 e\u0301',
  'x'.repeat(200),
  '#?=&:@',
])('places: a folder may be called %j, and nothing is made beside it', async (name) => {
  const above = temporaryFolder();
  const here = readdirSync(process.cwd());
  await live(join(above, name));
  expect(readdirSync(above)).toEqual([name]);
  for (const file of readdirSync(join(above, name))) expect(file).toMatch(/^(?:data|lock|log-\d+)$/);
  expect(readdirSync(process.cwd())).toEqual(here);
});

const STRANGERS: [what: string, make: (path: string) => unknown][] = [
  ['a pipe', (path) => execFileSync('mkfifo', [path])],
  ['a folder', (path) => mkdirSync(path)],
  ['a link to nothing', (path) => symlinkSync(`${path}-nothing`, path)],
  [
    'a socket',
    async (path) => {
      const server = createServer();
      onTestFinished(() => void server.close());
      await new Promise<void>((resolve) => server.listen(path, resolve));
    },
  ],
  ['a device', (path) => execFileSync('mknod', [path, 'c', '1', '3'], { stdio: 'ignore' })],
];

test.each(STRANGERS)('places: %s named data is refused at once and left alone', async (what, make) => {
  const folder = temporaryFolder();
  try {
    await make(join(folder, 'data'));
  } catch (cause) {
    // Only root makes devices.
    if (what === 'a device' && !isRoot) return;
    throw cause;
  }
  const before = folderState(folder);
  for (const readOnly of [false, true]) {
    await refused(['NOT_A_STORE', 'IO_ERROR'], () => open(folder, { readOnly }));
  }
  expect(folderState(folder)).toEqual(before);
});

test('places: a log file that is a link is refused and never written through', async () => {
  const above = temporaryFolder();
  const folder = join(above, 'store');
  await live(join(above, 'alive'));
  const engine = await open(join(above, 'alive'));
  onTestFinished(() => engine.close());
  await engine.put('more', 'x');
  cpSync(join(above, 'alive'), folder, { recursive: true });
  const log = readdirSync(folder).find((name) => name.startsWith('log-'))!;
  const outside = join(folder, '..', 'outside');
  writeFileSync(outside, readFileSync(join(folder, log)));
  const before = readFileSync(outside, 'base64');
  rmSync(join(folder, log));
  symlinkSync(outside, join(folder, log));
  for (const readOnly of [false, true]) {
    await refused(['NOT_A_STORE', 'CORRUPTION'], () => open(folder, { readOnly }));
  }
  expect(readFileSync(outside, 'base64')).toBe(before);
});

/** Opens as a user who may not write here, if this one may write everywhere. */
async function asNobody<T>(work: () => Promise<T>): Promise<T> {
  if (!isRoot) return work();
  process.seteuid!(NOBODY);
  try {
    return await work();
  } finally {
    process.seteuid!(0);
  }
}

test('places: a folder that cannot be written is IO_ERROR, and gives no lock to anybody', async () => {
  const above = temporaryFolder();
  chmodSync(above, 0o755);
  const [empty, store] = [join(above, 'empty'), join(above, 'store')];
  mkdirSync(empty);
  await live(store);
  for (const folder of [empty, store]) chmodSync(folder, 0o555);
  for (const name of readdirSync(store)) chmodSync(join(store, name), 0o444);
  const before = folderState(store);
  for (const folder of [empty, store, join(empty, 'below')]) {
    const error = await asNobody(() => refused('IO_ERROR', () => open(folder)));
    expect(error.errno).toBe('EACCES');
  }
  await asNobody(async () => {
    const reader = await open(store, { readOnly: true });
    expect(reader.count()).toBe(40);
    await reader.close();
  });
  expect(readdirSync(empty)).toEqual([]);
  expect(folderState(store)).toEqual(before);
  for (const name of readdirSync(store)) chmodSync(join(store, name), 0o600);
  for (const folder of [empty, store]) chmodSync(folder, 0o700);
  await (await open(store)).close();
});

function mounted(context: TestContext): string {
  const folder = temporaryFolder();
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'aegis', folder]);
  if (status !== 0) context.skip('a tmpfs cannot be mounted here (it takes root on Linux)');
  onTestFinished(() => void spawnSync('umount', ['-l', folder]));
  return folder;
}

test('places: a read-only file system can be read from, and refuses writers with EROFS', async (context) => {
  const disk = mounted(context);
  const store = join(disk, 'store');
  await live(store);
  mkdirSync(join(disk, 'empty'));
  execFileSync('mount', ['-o', 'remount,ro', disk]);
  const before = folderState(store);
  for (const folder of [store, join(disk, 'empty'), join(disk, 'absent')]) {
    const error = await refused('IO_ERROR', () => open(folder));
    expect(error.errno).toBe('EROFS');
  }
  for (let i = 0; i < 2; i++) {
    const reader = await open(store, { readOnly: true });
    expect(reader.count()).toBe(40);
    expect((await reader.verify()).problems).toEqual([]);
    await reader.close();
  }
  expect(folderState(store)).toEqual(before);
  execFileSync('mount', ['-o', 'remount,rw', disk]);
  await (await open(store)).close();
});

/** What may become of the folder of an open store. */
const GONE: [what: string, work: (folder: string) => void][] = [
  ['removed', (at) => rmSync(at, { recursive: true })],
  [
    'removed and made again',
    (at) => {
      rmSync(at, { recursive: true });
      mkdirSync(at);
    },
  ],
  [
    'moved away and made again',
    (at) => {
      renameSync(at, `${at} elsewhere`);
      mkdirSync(at);
    },
  ],
  [
    'emptied',
    (at) => {
      for (const name of readdirSync(at)) rmSync(join(at, name));
    },
  ],
];

test.skipIf(process.platform === 'win32').each(GONE)(
  'places: nothing is acknowledged, and close rejects, once the folder was %s',
  async (_what, work) => {
    for (const walEnabled of [true, false]) {
      for (const after of [0, 20]) {
        const folder = join(temporaryFolder(), 'store');
        const engine = await open(folder, { walEnabled });
        for (let i = 0; i < 50; i++) await engine.put(`before ${i}`, 'v');
        await engine.checkpoint();
        work(folder);
        for (let i = 0; i < after; i++) {
          const put = engine.put(`after ${i}`, 'v');
          if (walEnabled) await expect(put).rejects.toMatchObject({ name: 'AegisError' });
          else await put;
        }
        await expect(engine.close()).rejects.toMatchObject({ errno: 'ESTALE' });
        const files = existsSync(folder) ? readdirSync(folder) : [];
        expect(files.filter((name) => name !== 'lock')).toEqual([]);
        const again = await open(folder);
        expect(again.count()).toBe(0);
        await again.close();
      }
    }
  },
);
