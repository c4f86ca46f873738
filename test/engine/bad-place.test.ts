/*
 * Places that cannot be opened as asked: what holds no store, another store, a newer one, somebody else's lock. Each is
 * refused with its documented code, and not a byte, mode or time of what lies there changes.
 */
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { AegisErrorCode } from '../../src/base/errors.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { salvage } from '../../src/engine/salvage.ts';
import { backendOf, filesOf, folderState, sameFiles } from '../support/files.ts';
import { temporaryFolder } from '../support/place.ts';
import { bundleProgram, Program } from '../support/programs.ts';
import { refused, rejected } from '../support/refused.ts';
import type { OpenOutcome } from './opener.ts';

async function open(config: Partial<StorageConfig>): Promise<StorageEngine> {
  const engine = await StorageEngine.open(config);
  onTestFinished(() => engine.close());
  return engine;
}

function openFolder(dataDirectory: string, config: Partial<StorageConfig> = {}): Promise<StorageEngine> {
  return open({ backend: 'local', dataDirectory, checkpointWalSize: '512KB', ...config });
}

/** A folder with a store in it, closed: key → value of `letters`. */
async function makeStore(folder = join(temporaryFolder(), 'store')): Promise<string> {
  const engine = await openFolder(folder);
  for (const letter of 'abc') await engine.put(letter, `value ${letter}`);
  await engine.close();
  return folder;
}

async function expectWhole(folder: string): Promise<void> {
  const engine = await openFolder(folder);
  const found = [...engine.scan()].map((entry) => entry.map((bytes) => new TextDecoder().decode(bytes)));
  expect(found).toEqual([...'abc'].map((letter) => [letter, `value ${letter}`]));
  expect(await engine.verify()).toMatchObject({ ok: true });
  await engine.close();
}

/** As `folderState`, without the file that says who has the store. */
function storeState(folder: string): { name: string }[] {
  return (folderState(folder) as { name: string }[]).filter(({ name }) => name !== 'lock');
}

const TEXT = 'Somebody wrote this. '.repeat(1000);

const STRANGE: [what: string, make: (folder: string) => void, code: AegisErrorCode][] = [
  ['holds a stranger’s file', (at) => writeFileSync(join(at, 'notes.txt'), TEXT), 'NOT_A_STORE'],
  ['holds a stranger’s folder', (at) => mkdirSync(join(at, 'photos')), 'NOT_A_STORE'],
  ['holds a hidden file', (at) => writeFileSync(join(at, '.profile'), ''), 'NOT_A_STORE'],
  ['has a data file of text', (at) => writeFileSync(join(at, 'data'), TEXT), 'NOT_A_STORE'],
  ['has a short data file of text', (at) => writeFileSync(join(at, 'data'), 'short'), 'NOT_A_STORE'],
  ['has a data file of one byte', (at) => writeFileSync(join(at, 'data'), 'x'), 'NOT_A_STORE'],
  ['has a data file of zeros', (at) => writeFileSync(join(at, 'data'), Buffer.alloc(9000)), 'CORRUPTION'],
  [
    'has an empty data file beside a stranger’s',
    (at) => {
      writeFileSync(join(at, 'data'), '');
      writeFileSync(join(at, 'notes.txt'), TEXT);
    },
    'NOT_A_STORE',
  ],
  ['has a folder named data', (at) => mkdirSync(join(at, 'data')), 'NOT_A_STORE'],
  [
    'has a link named data',
    (at) => {
      writeFileSync(join(at, 'elsewhere'), '');
      symlinkSync(join(at, 'elsewhere'), join(at, 'data'));
    },
    'NOT_A_STORE',
  ],
  ['has a lock file of text', (at) => writeFileSync(join(at, 'lock'), TEXT), 'NOT_A_STORE'],
  [
    'has files data and lock of text',
    (at) => {
      writeFileSync(join(at, 'data'), TEXT);
      writeFileSync(join(at, 'lock'), TEXT);
    },
    'NOT_A_STORE',
  ],
  ['has a file of a name that no log gives', (at) => writeFileSync(join(at, 'log-007'), TEXT), 'NOT_A_STORE'],
  ['has log files and no data', (at) => writeFileSync(join(at, 'log-1'), TEXT), 'CORRUPTION'],
];

describe.each(STRANGE)('a folder that %s', (what, make, code) => {
  test.each([
    ['', {}],
    [' for reading', { readOnly: true }],
    [' without creating', { createIfMissing: false }],
    [' as a new one', { errorIfExists: true }],
  ])(`bad place: a folder that ${what} is refused%s and stays as it is`, async (how, config) => {
    const folder = temporaryFolder();
    make(folder);
    const before = folderState(folder);
    // Who only looks for a store may be told that there is none.
    const codes =
      how === ' for reading' || how === ' without creating' ? [code, 'NOT_FOUND' as const] : [code];
    const error = await refused(codes, () => openFolder(folder, config));
    if (error.code !== 'NOT_FOUND') expect(error.file).toBeDefined();
    expect(folderState(folder)).toEqual(before);
    rmSync(folder, { recursive: true });
    await makeStore(folder);
    await expectWhole(folder);
  });
});

test('bad place: a folder in the place of a log file is the same finding for an open and for a salvage', async () => {
  const folder = temporaryFolder();
  await makeStore(folder);
  mkdirSync(join(folder, 'log-1'));
  const wanted = { message: `${join(folder, 'log-1')} is not a regular file`, file: 'log-1' };
  const config = { backend: 'local', dataDirectory: folder } as const;
  for (const work of [
    () => openFolder(folder),
    () => openFolder(folder, { readOnly: true }),
    () => salvage(config, new MemoryBackend()),
  ]) {
    expect(await refused(['NOT_A_STORE'], work)).toMatchObject(wanted);
  }
  rmdirSync(join(folder, 'log-1'));
  await expectWhole(folder);
});

test('bad place: a path that leads through a file is no store', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'file'), TEXT);
  const before = folderState(folder);
  for (const readOnly of [true, false]) {
    for (const path of ['file', 'file/below']) {
      await refused(['NOT_A_STORE', 'NOT_FOUND'], () => openFolder(join(folder, path), { readOnly }));
    }
  }
  expect(folderState(folder)).toEqual(before);
});

test('bad place: whoever must not create finds nothing and leaves nothing', async () => {
  const above = temporaryFolder();
  for (const config of [
    { readOnly: true },
    { createIfMissing: false },
    { readOnly: true, errorIfExists: true },
  ]) {
    await rejected('NOT_FOUND', () => openFolder(join(above, 'absent'), config));
    expect(folderState(above)).toEqual([]);
  }
  const empty = temporaryFolder();
  for (const config of [{ readOnly: true }, { createIfMissing: false }]) {
    await rejected('NOT_FOUND', () => openFolder(empty, config));
    expect(folderState(empty)).toEqual([]);
    const backend = new MemoryBackend();
    await rejected('NOT_FOUND', () => open({ backend, ...config }));
    expect(backend.list()).toEqual([]);
    await (await open({ backend })).close();
  }
});

test('bad place: errorIfExists refuses a store that is there', async () => {
  const folder = await makeStore();
  const before = storeState(folder);
  for (const readOnly of [true, false]) {
    await rejected('EXISTS', () => openFolder(folder, { errorIfExists: true, readOnly }));
  }
  expect(storeState(folder)).toEqual(before);
  await expectWhole(folder);
  await (await openFolder(join(temporaryFolder(), 'new'), { errorIfExists: true })).close();
});

test('bad place: a store of a newer format is refused and left alone', async () => {
  const backend = new MemoryBackend();
  const engine = await open({ backend, walEnabled: true, checkpointWalSize: '512KB' });
  await engine.put('a', 'value a');
  await engine.close();
  const files = filesOf(backend);
  const data = files.get('data')!;
  const version = new DataView(data.buffer);
  const present = version.getUint32(4, true);
  for (const slot of [0, 4096]) version.setUint32(slot + 4, present + 1, true);
  const newer = backendOf(files);
  for (const config of [{}, { readOnly: true }, { createIfMissing: false }, { errorIfExists: true }]) {
    const error = await rejected('UNSUPPORTED_VERSION', () => open({ backend: newer, ...config }));
    expect(error).toMatchObject({ file: 'data' });
    expect(sameFiles(filesOf(newer), files)).toBe(true);
  }
  for (const slot of [0, 4096]) version.setUint32(slot + 4, present, true);
  expect((await open({ backend: backendOf(files), walEnabled: true })).getString('a')).toBe('value a');
});

test('bad place: a second opener in the same process is refused, reader or writer', async () => {
  const folder = await makeStore();
  const backend = new MemoryBackend();
  for (const place of [{ backend }, { backend: 'local' as const, dataDirectory: folder }]) {
    const writer = await open(place);
    for (const readOnly of [true, false]) {
      const error = await rejected('LOCKED', () => open({ ...place, readOnly }));
      expect(error.pid).toBe(process.pid);
    }
    await writer.put('more', 'x');
    await writer.delete('more');
    await writer.close();
    const readers = [await open({ ...place, readOnly: true }), await open({ ...place, readOnly: true })];
    await rejected('LOCKED', () => open(place));
    for (const reader of readers) await reader.close();
    await (await open(place)).close();
  }
  await expectWhole(folder);
});

test('bad place: a second opener in another process is refused, and told who has the store', async () => {
  const folder = await makeStore();
  const program = new Program(await bundleProgram('test/engine/opener.ts', temporaryFolder()));
  const engine = await openFolder(folder);
  for (const readOnly of [true, false]) {
    const outcome = await program.ask<OpenOutcome>('open', folder, readOnly);
    expect(outcome).toMatchObject({ opened: false, code: 'LOCKED', pid: process.pid });
  }
  await engine.put('still', 'works');
  await engine.delete('still');
  await engine.close();
  expect(await program.ask('open', folder, false)).toEqual({ opened: true });
  for (const readOnly of [true, false]) {
    const error = await rejected('LOCKED', () => openFolder(folder, { readOnly }));
    expect(error.pid).toBe(program.pid);
  }
  await program.ask('put', 'more', 'x');
  // Removing what names the holder admits nobody.
  rmSync(join(folder, 'lock'));
  await rejected('LOCKED', () => openFolder(folder));
  await program.kill();
  const after = await openFolder(folder);
  expect(after.getString('more')).toBe('x');
  await after.delete('more');
  await after.close();
  await expectWhole(folder);
});

test('bad place: a store opened for reading refuses every write', async () => {
  const folder = await makeStore();
  const engine = await openFolder(folder, { readOnly: true });
  await rejected('READ_ONLY', () => engine.put('a', 'x'));
  await rejected('READ_ONLY', () => engine.delete('a'));
  await rejected('READ_ONLY', () => engine.batch([{ type: 'put', key: 'a', value: 'x' }]));
  await rejected('READ_ONLY', () => engine.transaction((tx) => tx.put('a', 'x')));
  await rejected('READ_ONLY', () => engine.checkpoint());
  await refused('READ_ONLY', () => engine.putSync('a', 'x'));
  await refused('READ_ONLY', () => engine.deleteSync('a'));
  await refused('READ_ONLY', () => engine.batchSync([{ type: 'delete', key: 'a' }]));
  await refused('READ_ONLY', () => engine.beginTransaction());
  const tx = engine.beginTransaction({ readOnly: true });
  await refused('READ_ONLY', () => tx.put('a', 'x'));
  await refused('READ_ONLY', () => tx.delete('a'));
  expect(tx.getString('a')).toBe('value a');
  await tx.commit();
  await engine.close();
  await expectWhole(folder);
});

test('bad place: a reader replays the log of a killed writer and writes nothing', async () => {
  const folder = await makeStore();
  const writer = await openFolder(folder, { syncOnCommit: false });
  const values = new Map(Array.from({ length: 300 }, (_, i) => [`more ${i}`, 'x'.repeat(i * 10)]));
  for (const [key, value] of values) writer.putSync(key, value);
  // What a process leaves that dies now.
  const killed = join(temporaryFolder(), 'killed');
  cpSync(folder, killed, { recursive: true, preserveTimestamps: true });
  rmSync(join(killed, 'lock'), { force: true });
  await writer.close();
  const state = () => storeState(killed);
  const before = state();
  expect(before.length).toBeGreaterThan(1);
  for (let round = 0; round < 2; round++) {
    const reader = await openFolder(killed, { readOnly: true, bufferPoolSize: 16 * 8192 });
    for (const [key, value] of values) expect(reader.getString(key)).toBe(value);
    expect(reader.count()).toBe(values.size + 3);
    expect(await reader.verify()).toMatchObject({ ok: true });
    await reader.close();
    expect(state()).toEqual(before);
  }
  // Nor does it need the right to.
  for (const { name } of before) chmodSync(join(killed, name), 0o400);
  const modes = state();
  const reader = await openFolder(killed, { readOnly: true });
  expect(reader.count()).toBe(values.size + 3);
  await reader.close();
  expect(state()).toEqual(modes);
  for (const { name } of before) chmodSync(join(killed, name), 0o600);
  const again = await openFolder(killed);
  expect(again.count()).toBe(values.size + 3);
});

test('bad place: a failed opening leaves no lock behind', async () => {
  const folder = temporaryFolder();
  const data = join(folder, 'data');
  for (const content of [TEXT, Buffer.alloc(9000)]) {
    writeFileSync(data, content);
    await refused(['NOT_A_STORE', 'CORRUPTION'], () => openFolder(folder));
    rmSync(data);
    await (await openFolder(folder)).close();
    expect(existsSync(data)).toBe(true);
    rmSync(folder, { recursive: true });
    mkdirSync(folder);
  }
});
