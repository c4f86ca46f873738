/*
 * Failures no healthy disk shows, put between the local backend and `node:fs`: calls that move fewer bytes than they
 * were given, and syncs that fail once and then claim that all is well.
 */
import type * as Fs from 'node:fs';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { LocalBackend } from '../../src/backend/local.ts';
import { temporaryFolder } from '../support/place.ts';

/** What goes wrong now. */
const faults = vi.hoisted(() => ({
  /** The most bytes a call moves. */
  step: Number.POSITIVE_INFINITY,
  /** Errors of the next syncs, by the system's names. */
  syncs: [] as string[],
  syncCalls: [] as string[],
  running: 0,
  /** Folders that were synced. */
  folders: [] as string[],
}));

vi.mock('node:fs', async (importOriginal) => {
  const fs = await importOriginal<typeof Fs>();
  const systemError = (errno: string) => Object.assign(new Error(`${errno}: made up`), { code: errno });
  const cut = (parts: readonly Uint8Array[]) => {
    let left = faults.step;
    return parts.flatMap((part) => {
      const taken = part.subarray(0, Math.min(left, part.length));
      left -= taken.length;
      return taken.length > 0 ? [taken] : [];
    });
  };
  return {
    ...fs,
    readSync: (fd: number, target: Uint8Array, offset: number, length: number, position: number) =>
      fs.readSync(fd, target, offset, Math.min(length, faults.step), position),
    writeSync: (fd: number, source: Uint8Array, offset: number, length: number, position: number) =>
      faults.step === 0 ? 0 : fs.writeSync(fd, source, offset, Math.min(length, faults.step), position),
    writevSync: (fd: number, parts: Uint8Array[], position: number) =>
      fs.writevSync(fd, cut(parts), position),
    fsyncSync: (fd: number) => {
      faults.folders.push(fs.readlinkSync(`/proc/self/fd/${fd}`));
      const errno = faults.syncs.shift();
      if (errno !== undefined) throw systemError(errno);
      fs.fsyncSync(fd);
    },
    fdatasyncSync: (fd: number) => {
      faults.syncCalls.push(`sync ${fd}`);
      const errno = faults.syncs.shift();
      if (errno !== undefined) throw systemError(errno);
      fs.fdatasyncSync(fd);
    },
    fdatasync: (fd: number, settle: (error: Error | null) => void) => {
      faults.syncCalls.push(`async ${fd}`);
      faults.running++;
      expect(faults.running, 'syncs at a time on one descriptor').toBe(1);
      const errno = faults.syncs.shift();
      setTimeout(() => {
        faults.running--;
        settle(errno === undefined ? null : systemError(errno));
      }, 5);
    },
  };
});

beforeEach(() => {
  Object.assign(faults, {
    step: Number.POSITIVE_INFINITY,
    syncs: [],
    syncCalls: [],
    running: 0,
    folders: [],
  });
});

afterEach(() => {
  vi.restoreAllMocks();
});

function openFile() {
  return new LocalBackend(temporaryFolder()).open('data', { create: true });
}

function error(code: string, more: object = {}): unknown {
  return expect.objectContaining({ name: 'AegisError', code, ...more });
}

/** The descriptors this process has of a file. */
function descriptorsOf(path: string): string[] {
  return fs.readdirSync('/proc/self/fd').filter((descriptor) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${descriptor}`) === path;
    } catch {
      return false; // the one that listed the folder
    }
  });
}

const parts = Array.from({ length: 50 }, (_, index) => new Uint8Array(index).map((_, at) => index + at));
const whole = Buffer.concat(parts);

test.each([1, 3, 100, 1000])('local file: calls that stop after %i bytes are continued', (step) => {
  const file = openFile();
  faults.step = step;
  file.write([whole], 0);
  file.write(parts, whole.length);
  const bytes = new Uint8Array(2 * whole.length + 10);
  expect(file.read(bytes, 0)).toBe(2 * whole.length);
  expect(Buffer.from(bytes.subarray(0, -10)).equals(Buffer.concat([whole, whole]))).toBe(true);
});

test('local file: a system that takes no bytes and gives no reason is an error, not an endless loop', () => {
  const file = openFile();
  faults.step = 0;
  expect(() => file.write([whole], 0)).toThrow(error('IO_ERROR', { file: 'data', operation: 'write' }));
});

test.each(['EIO', 'ENOSPC', 'EDQUOT'])(
  'local file: a sync that fails with %s fails for good',
  async (errno) => {
    const failed = error('IO_ERROR', { errno, operation: 'sync', file: 'data' });
    const blocking = openFile();
    faults.syncs = [errno];
    expect(() => blocking.syncSync()).toThrow(failed);
    expect(() => blocking.syncSync()).toThrow(failed);
    await expect(blocking.sync()).rejects.toEqual(failed);

    const waiting = openFile();
    faults.syncs = [errno];
    const both = await Promise.allSettled([waiting.sync(), waiting.sync()]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await expect(waiting.sync()).rejects.toEqual(failed);
    expect(() => waiting.syncSync()).toThrow(failed);
    expect(faults.syncCalls.length).toBe(2);
  },
);

test('local file: a blocking sync during an asynchronous one goes through a descriptor of its own', async () => {
  const file = openFile();
  const waiting = file.sync();
  await Promise.resolve();
  file.syncSync();
  await waiting;
  const [first, second] = faults.syncCalls.map((call) => call.split(' '));
  expect([first?.[0], second?.[0]]).toEqual(['async', 'sync']);
  expect(second?.[1]).not.toBe(first?.[1]);
});

test('local file: asynchronous syncs queue, each after what was written before it', async () => {
  const file = openFile();
  await Promise.all([file.sync(), file.sync(), file.sync()]);
  expect(faults.syncCalls.length).toBe(3);
  expect(new Set(faults.syncCalls).size).toBe(1);
});

test('local: a folder made here is made durable in the one above, and syncDirectory syncs the folder', async () => {
  const above = temporaryFolder();
  const folder = join(above, 'a', 'b');
  const backend = new LocalBackend(folder);
  backend.open('data', { create: true });
  expect(faults.folders).toEqual([above, join(above, 'a')]);
  backend.open('data', { create: true });
  expect(faults.folders.length).toBe(2);
  backend.syncDirectory();
  expect(faults.folders.slice(2)).toEqual([folder]);
});

test('local: a folder that cannot be synced is IO_ERROR with the operation sync', () => {
  const above = temporaryFolder();
  const backend = new LocalBackend(join(above, 'store'));
  faults.syncs = ['EIO'];
  expect(() => backend.open('data', { create: true })).toThrow(
    error('IO_ERROR', { errno: 'EIO', operation: 'sync' }),
  );
  faults.syncs = ['ENOSPC'];
  expect(() => backend.syncDirectory()).toThrow(error('IO_ERROR', { errno: 'ENOSPC', operation: 'sync' }));
});

/** Has this Node look as one under `--permission`, which refuses the next sync. */
function refuseSync(): void {
  Object.assign(process, { permission: {} });
  onTestFinished(() => void Reflect.deleteProperty(process, 'permission'));
  faults.syncs = ['ERR_ACCESS_DENIED'];
}

test('local file: where the runtime refuses every sync, one descriptor makes each write durable on Linux', async () => {
  refuseSync();
  const folder = temporaryFolder();
  const file = new LocalBackend(folder).open('data', { create: true });
  const flags = descriptorsOf(join(folder, 'data')).map((descriptor) => {
    const info = fs.readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8');
    return Number.parseInt(/flags:\s+(\d+)/.exec(info)![1]!, 8);
  });
  expect(flags.map((flag) => (flag & fs.constants.O_DSYNC) !== 0).sort()).toEqual([false, true]);
  // Close-on-exec, so that no program started here keeps a file or a lock open.
  expect(flags.every((flag) => (flag & 0o2000000) !== 0)).toBe(true);
  faults.syncCalls = [];
  file.write([whole], 0);
  file.syncSync();
  await file.sync();
  expect(faults.syncCalls).toEqual([]);
  file.close();
  expect(descriptorsOf(join(folder, 'data'))).toEqual([]);
});

test('local file: where the runtime refuses every sync, a system without such descriptors is UNSUPPORTED', () => {
  vi.spyOn(process, 'platform', 'get').mockReturnValue('darwin');
  refuseSync();
  const folder = temporaryFolder();
  expect(() => new LocalBackend(folder).open('data', { create: true })).toThrow(
    error('UNSUPPORTED', { operation: 'sync', file: 'data' }),
  );
  expect(descriptorsOf(join(folder, 'data'))).toEqual([]);
});
