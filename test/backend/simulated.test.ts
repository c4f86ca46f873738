import { expect, test } from 'vitest';
import type { BackendFile } from '../../src/backend/backend.ts';
import { StorageEngine } from '../../src/index.ts';
import { faultAt, faultFrom, SimulatedBackend } from '../../src/testing/index.ts';
import { seed } from '../support/seed.ts';

const writable = { create: true };

function filled(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value);
}

/** The first byte of each sector, and the length. */
function shownIn(backend: SimulatedBackend, file = 'data'): string {
  const bytes = backend.files().get(file);
  if (bytes === undefined) return 'absent';
  return [...bytes.filter((_, at) => at % 512 === 0)].join('');
}

/** A durable file of so many sectors with their numbers in them. */
function withFile(sectors: number, name = 'data', options = {}): [SimulatedBackend, BackendFile] {
  const bytes = new Uint8Array(sectors * 512);
  for (let at = 0; at < sectors; at++) bytes.fill(at, at * 512, (at + 1) * 512);
  const backend = new SimulatedBackend({ seed, files: new Map([[name, bytes]]), ...options });
  return [backend, backend.open(name, writable)];
}

function statesOf(backend: SimulatedBackend, file = 'data'): string[] {
  return [...backend.crashStates()].map((state) => shownIn(state, file)).sort();
}

test('simulated: a power cut leaves any sectors of a write that no sync covered', () => {
  const [backend, file] = withFile(4);
  file.write([filled(1024, 8)], 512);
  expect(statesOf(backend)).toEqual(['0123', '0183', '0823', '0883']);
  expect(shownIn(backend)).toBe('0883');
  file.syncSync();
  expect(statesOf(backend)).toEqual(['0883']);
});

test('simulated: writes reach the device in any order', () => {
  const [backend, file] = withFile(1);
  file.write([filled(512, 1)], 0);
  file.write([filled(512, 2)], 0);
  expect(statesOf(backend)).toEqual(['0', '1', '2']);
});

test('simulated: a sync covers what was written before it was called, nothing later', async () => {
  const [backend, file] = withFile(2, 'data', { manual: true });
  file.write([filled(512, 7)], 0);
  const sync = file.sync();
  file.write([filled(512, 8)], 512);
  expect(statesOf(backend)).toEqual(['01', '08', '71', '78']);
  await backend.run(sync);
  expect(statesOf(backend)).toEqual(['71', '78']);
});

test('simulated: length, content and name of a new file persist each on its own', () => {
  const backend = new SimulatedBackend({ seed });
  const file = backend.open('data', writable);
  file.write([filled(512, 5)], 0);
  expect(statesOf(backend)).toEqual(['', '0', '5', 'absent']);
  file.syncSync();
  expect(statesOf(backend)).toEqual(['5', 'absent']);
  backend.syncDirectory();
  expect(statesOf(backend)).toEqual(['5']);
});

test('simulated: a removal and a cut may be forgotten, and a name used anew may lead to either file', () => {
  const [backend, file] = withFile(2);
  file.truncate(512);
  expect(statesOf(backend)).toEqual(['0', '01']);
  backend.remove('data');
  backend.open('data', writable);
  expect(statesOf(backend)).toEqual(['', '0', '01', 'absent']);
  expect(shownIn(backend)).toBe('');
});

test('simulated: a file that was cut never shows its old bytes when it has grown again', () => {
  const [backend, file] = withFile(2);
  file.truncate(512);
  file.write([filled(512, 9)], 1024);
  expect(statesOf(backend)).toEqual(['0', '000', '009', '01']);
});

test('simulated: an append to a log ends at any byte, another file at whole sectors', () => {
  for (const [name, step] of [
    ['log-1', 1],
    ['data', 512],
  ] as const) {
    const [backend, file] = withFile(4, name);
    file.write([filled(1024, 255)], 512);
    const lengths = new Set<number>();
    for (let draw = 0; draw < 400; draw++) {
      const bytes = backend.crash().files().get(name)!;
      lengths.add(bytes.filter((byte) => byte === 255).length);
    }
    expect([...lengths].every((length) => length % step === 0)).toBe(true);
    expect(lengths.size > 20).toBe(step === 1);
  }
});

test('simulated: a function chooses what a power cut leaves', () => {
  const [backend, file] = withFile(2);
  file.write([filled(1024, 6)], 0);
  expect(shownIn(backend.crash(() => true))).toBe('66');
  expect(shownIn(backend.crash(() => false))).toBe('01');
  expect(shownIn(backend.crash(({ position }) => position === 512))).toBe('06');
  const torn = backend.crash(({ position }) => position === 0 && 3);
  expect([...torn.files().get('data')!.subarray(0, 5)]).toEqual([6, 6, 6, 0, 0]);
  expect(backend.units().map(({ kind, file: name, position }) => [kind, name, position])).toEqual([
    ['content', 'data', 0],
    ['content', 'data', 512],
  ]);
});

test('simulated: the death of a process loses nothing, and leaves it as unsafe as it was', () => {
  const [backend, file] = withFile(2);
  file.write([filled(512, 4)], 0);
  const left = backend.kill();
  expect(shownIn(left)).toBe('41');
  expect(statesOf(left)).toEqual(['01', '41']);
  left.open('data', writable).syncSync();
  expect(statesOf(left)).toEqual(['41']);
  expect(statesOf(backend)).toEqual(['01', '41']);
});

test('simulated: a failed sync loses sectors, shows them all the same, and lies the next time', async () => {
  const [backend, file] = withFile(64);
  file.write([filled(64 * 512, 200)], 0);
  backend.plan = faultAt(backend.calls.length + 1, { errno: 'EIO' });
  await expect(file.sync()).rejects.toMatchObject({ code: 'IO_ERROR', operation: 'sync', errno: 'EIO' });
  // This file never syncs again; another handle does, and is told that all is well.
  expect(() => file.syncSync()).toThrow('EIO');
  const other = backend.open('data', writable);
  other.syncSync();
  expect(new Set(backend.files().get('data'))).toEqual(new Set([200]));
  const left = backend.crash().files().get('data')!;
  const lost = left.filter((byte, at) => at % 512 === 0 && byte !== 200).length;
  expect(lost).toBeGreaterThan(10);
  expect(lost).toBeLessThan(54);
  expect(backend.kill().files().get('data')).toEqual(backend.files().get('data'));
  expect(backend.kill({ dropCache: true }).files().get('data')).toEqual(left);
  // What is written again reaches the device.
  other.write([filled(64 * 512, 200)], 0);
  other.syncSync();
  expect(new Set(backend.crash().files().get('data'))).toEqual(new Set([200]));
});

test('simulated: crash states are backends of their own', () => {
  const [backend, file] = withFile(2);
  file.write([filled(512, 4)], 0);
  const one = backend.crash(() => true);
  const two = one.crash();
  one.open('data', writable).write([filled(512, 7)], 512);
  file.write([filled(512, 5)], 0);
  expect([shownIn(backend), shownIn(one), shownIn(two)]).toEqual(['51', '47', '41']);
});

test('simulated: equal files have equal fingerprints, other files others', () => {
  const [backend, file] = withFile(3);
  const before = backend.fingerprint;
  const prints = new Set([before]);
  for (let bit = 0; bit < 512; bit++) {
    backend.rot('data', bit);
    prints.add(backend.fingerprint);
    backend.rot('data', bit);
  }
  expect(prints.size).toBe(513);
  expect(backend.fingerprint).toBe(before);
  file.truncate(1537);
  expect(backend.fingerprint).not.toBe(before);
  file.truncate(1536);
  expect(backend.fingerprint).toBe(before);
  const renamed = new SimulatedBackend({ files: new Map([['other', backend.files().get('data')!]]) });
  expect(renamed.fingerprint).not.toBe(before);
});

test('simulated: errors of the system are the codes that the local backend gives', async () => {
  const errors = ['EIO', 'ENOSPC', 'EDQUOT', 'EMFILE', 'EACCES', 'EROFS'] as const;
  for (const errno of errors) {
    const isSpace = errno === 'ENOSPC' || errno === 'EDQUOT';
    const code = isSpace ? 'OUT_OF_SPACE' : 'IO_ERROR';
    const [backend, file] = withFile(1);
    backend.plan = faultFrom(1, { errno });
    const calls: [string, string, () => unknown][] = [
      ['open', code, () => backend.open('data', writable)],
      ['list', 'IO_ERROR', () => backend.list()],
      ['remove', 'IO_ERROR', () => backend.remove('data')],
      ['lock', code, () => backend.lock('exclusive')],
      ['stat', 'IO_ERROR', () => file.size()],
      ['read', 'IO_ERROR', () => file.read(new Uint8Array(1), 0)],
      ['write', code, () => file.write([filled(1, 1)], 0)],
      ['truncate', code, () => file.truncate(0)],
      ['sync', 'IO_ERROR', () => file.syncSync()],
      ['sync', 'IO_ERROR', () => backend.syncDirectory()],
    ];
    for (const [operation, expected, call] of calls) {
      expect(call, operation).toThrow(expect.objectContaining({ code: expected, operation, errno }));
    }
    await expect(file.sync()).rejects.toMatchObject({ code: 'IO_ERROR', operation: 'sync' });
    file.close();
    backend.plan = () => undefined;
    expect(shownIn(backend)).toBe('0');
  }
});

test('simulated: a write is torn, lost or misdirected as the plan says', () => {
  const [backend, file] = withFile(4);
  const next = () => backend.calls.length + 1;
  backend.plan = faultAt(next(), { errno: 'ENOSPC', torn: 512 });
  expect(() => file.write([filled(1024, 9)], 0)).toThrow('ENOSPC');
  expect(shownIn(backend)).toBe('9123');
  backend.plan = faultAt(next(), { lost: true });
  file.write([filled(1024, 8)], 0);
  expect(shownIn(backend)).toBe('9123');
  backend.plan = faultAt(next(), { misdirected: 1024 });
  file.write([filled(1024, 7)], 0);
  expect(shownIn(backend)).toBe('9177');
  backend.plan = faultAt(next(), { lost: true });
  file.syncSync();
  expect(shownIn(backend.crash(() => false))).toBe('0123');
});

test('simulated: a full disk takes what fits, and works again when it grows or is emptied', () => {
  const backend = new SimulatedBackend({ seed });
  backend.capacity = 3 * 4096;
  const file = backend.open('data', writable);
  expect(() => file.write([filled(20_000, 1)], 0)).toThrow(
    expect.objectContaining({ code: 'OUT_OF_SPACE', errno: 'ENOSPC', operation: 'write' }),
  );
  expect(file.size()).toBe(3 * 4096);
  file.write([filled(4096, 2)], 8192);
  expect(() => backend.open('log-1', writable).write([filled(1, 1)], 0)).toThrow('ENOSPC');
  file.truncate(4096);
  backend.open('log-1', writable).write([filled(8192, 1)], 0);
  backend.capacity = 4 * 4096;
  file.write([filled(4096, 3)], 4096);
  expect(() => file.write([filled(1, 3)], 8192)).toThrow('ENOSPC');
  backend.remove('log-1');
  file.write([filled(1, 3)], 8192);
});

test('simulated: zeros that were written and synced take their space after a power cut, too', () => {
  const backend = new SimulatedBackend({ seed });
  const file = backend.open('log-1', writable);
  file.write([filled(8192, 0)], 0);
  file.syncSync();
  file.write([filled(8192, 0)], 8192); // not synced: its length may be all that is left
  const after = backend.crash(() => true);
  after.capacity = 2 * 4096;
  const left = after.open('log-1', writable);
  expect(left.size()).toBe(4 * 4096);
  left.write([filled(8192, 1)], 0);
  expect(() => left.write([filled(1, 1)], 8192)).toThrow('ENOSPC');
  expect(
    shownIn(
      backend.crash(() => true),
      'log-1',
    ),
  ).toMatch(/^0/);
});

async function programOver(seed: number): Promise<string> {
  const backend = new SimulatedBackend({ seed });
  const trace: unknown[] = [];
  backend.onCall = (call) => {
    trace.push([backend.clock.now, call, backend.crash().fingerprint]);
  };
  const store = await StorageEngine.open({ backend, pageSize: 4096, bufferPoolSize: 16 * 4096 });
  const puts = Array.from({ length: 300 }, (_, at) => store.put(`key ${at}`, filled(200, at)));
  const checkpoint = store.checkpoint();
  await Promise.all(puts);
  await checkpoint;
  await store.close();
  return JSON.stringify([trace, backend.fingerprint]);
}

test('simulated: the same seed is the same run to the byte, another seed another', async () => {
  const first = await programOver(seed);
  expect((await programOver(seed)) === first).toBe(true);
  expect((await programOver(seed + 1)) === first).toBe(false);
});

test('simulated: where a promise would never settle, run says so', async () => {
  const backend = new SimulatedBackend({ manual: true });
  await expect(backend.run(new Promise(() => undefined))).rejects.toThrow('hangs');
});
