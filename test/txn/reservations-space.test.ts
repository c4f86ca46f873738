/* Reservations that need a log file or a checkpoint, and stores that fail under them. */
import { expect, test } from 'vitest';
import { AegisError } from '../../src/base/errors.ts';
import { kit } from './reservations-kit.ts';

const outOfSpace = () => new AegisError('OUT_OF_SPACE', 'the disk is full');
const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

test('reservations: who waits for a checkpoint that cannot succeed is refused, one for each attempt', () => {
  let attempts = 0;
  const { wait, events, reservations } = kit(undefined, {
    isExceeded: true,
    shorten: () => {
      if (++attempts === 1) throw outOfSpace();
    },
  });
  wait('first');
  wait('second');
  expect(events).toEqual(['first: OUT_OF_SPACE']);
  expect(reservations.length).toBe(1);
});

test('reservations: one log file is asked for at a time, for the first of the queue', async () => {
  let files = 0;
  const prepare = () => (files < 2 ? Promise.resolve().then(() => void ++files) : undefined);
  const { reservations, request, wait, events } = kit({ prepare });
  expect(reservations.admitNow(request('first'))).toBe(false);
  wait('first');
  wait('second');
  reservations.serve();
  await turn();
  expect(events).toEqual(['first', 'second']);
});

test('reservations: a log file that cannot be made refuses the one it was for', async () => {
  let failures = 1;
  const prepare = () =>
    failures-- > 0 ? Promise.reject(new AegisError('IO_ERROR', 'too many open files')) : undefined;
  const { wait, events } = kit({ prepare });
  wait('first');
  wait('second');
  await turn();
  expect(events).toEqual(['first: IO_ERROR', 'second']);
});

test('reservations: without space for a log file, what is queued is applied first, then one checkpoint is tried', async () => {
  let free = 0;
  let asked = 0;
  const prepare = () => {
    ++asked;
    return free < 2 ? Promise.reject(outOfSpace()) : undefined;
  };
  const checkpoint = async (): Promise<void> => {
    ++free;
  };
  const { reservations, wait, push, queue, events } = kit({ prepare }, { free: () => checkpoint() });
  push();
  wait('first');
  await turn();
  expect([asked, free]).toEqual([1, 0]);
  reservations.serve();
  await turn();
  expect([asked, free]).toEqual([1, 0]);
  queue.shift();
  reservations.serve();
  await turn();
  expect(events.filter((event) => event !== 'schedule')).toEqual(['first: OUT_OF_SPACE']);
  expect(free).toBe(1);
  wait('second');
  await turn();
  expect(events.at(-1)).toBe('second');
});

test('reservations: a checkpoint that fails, or that can gain nothing, refuses whom it was for', async () => {
  const prepare = () => Promise.reject(outOfSpace());
  const failed = kit(
    { prepare },
    { free: () => Promise.reject(new AegisError('IO_ERROR', 'no checkpoint')) },
  );
  failed.wait('first');
  await turn();
  expect(failed.events).toEqual(['first: IO_ERROR']);
  const useless = kit({ prepare });
  useless.wait('first');
  const { woken } = useless.pipeline;
  await turn();
  // Whoever closes the store sleeps until the last one has left.
  expect(useless.pipeline.woken).toBeGreaterThan(woken);
  expect(useless.events).toEqual(['first: OUT_OF_SPACE']);
});

test('reservations: one that was served meanwhile hears nothing of its file or its checkpoint', async () => {
  const log = { prepare: () => Promise.reject(outOfSpace()), prepareSync: () => undefined };
  const early = kit(log);
  early.wait('first');
  early.reservations.admitBlocking(early.request('own'));
  await turn();
  expect(early.events).toEqual(['first', 'own']);

  let fail = (_error: unknown): void => undefined;
  const free = () =>
    new Promise<void>((_, reject) => {
      fail = reject;
    });
  const late = kit(log, { free });
  late.wait('first');
  await turn();
  late.reservations.admitBlocking(late.request('own'));
  fail(outOfSpace());
  await turn();
  expect(late.events).toEqual(['first', 'own']);
});

test('reservations: a blocking request frees a log file by a checkpoint when the disk is full', () => {
  let full = true;
  const prepareSync = (): void => {
    if (full) throw outOfSpace();
  };
  const freeNow = () => {
    full = false;
    return true;
  };
  const { reservations, request, events } = kit({ prepareSync }, { freeNow });
  reservations.admitBlocking(request('own'));
  expect(events).toEqual(['flush', 'own']);
  const hopeless = kit({ prepareSync: () => Promise.reject, prepare: () => undefined });
  hopeless.reservations.admitBlocking(hopeless.request('own'));
  full = true;
  const none = kit({ prepareSync });
  expect(() => none.reservations.admitBlocking(none.request('own'))).toThrow('full');
  const broken = kit({
    prepareSync: () => {
      throw new AegisError('IO_ERROR', 'no file');
    },
  });
  broken.pipeline.queue.clear();
  expect(() => broken.reservations.admitBlocking(broken.request('own'))).toThrow('no file');
});

test('reservations: what a backend cannot do at once is the fault of the caller that cannot wait', async () => {
  const unsupported = () => {
    throw new AegisError('UNSUPPORTED', 'no file at once');
  };
  let ready = false;
  const prepare = () => (ready ? undefined : new Promise<void>(() => undefined));
  const { reservations, request, wait, events } = kit({ prepare, prepareSync: unsupported });
  wait('first');
  expect(() => reservations.admitBlocking(request('own'))).toThrow('no file at once');
  expect([events, reservations.length]).toEqual([[], 1]);
  ready = true;
  const refusing = kit({
    prepare,
    prepareSync: () => {
      throw new AegisError('IO_ERROR', 'no file');
    },
  });
  ready = false;
  refusing.wait('first');
  expect(() => refusing.reservations.admitBlocking(refusing.request('own'))).toThrow('no file');
  expect(refusing.events).toEqual(['first: IO_ERROR']);
});

test('reservations: when the store fails everybody who waits is refused, and whoever comes', async () => {
  const failure = new AegisError('STORE_FAILED', 'the store failed');
  const log: { failure?: AegisError; prepare: () => Promise<void>; prepareSync: () => void } = {
    prepare: () => {
      log.failure = failure;
      return Promise.reject(failure);
    },
    prepareSync: () => {
      throw failure;
    },
  };
  const { reservations, request, wait, events } = kit(log);
  wait('first');
  wait('second');
  await turn();
  expect(events).toEqual(['first: STORE_FAILED', 'second: STORE_FAILED']);
  expect(() => reservations.admitNow(request('third'))).toThrow(failure);
  expect(() => reservations.admitBlocking(request('third'))).toThrow(failure);
  const thrown: { failure?: AegisError; prepare: () => never } = {
    prepare: () => {
      throw failure;
    },
  };
  const other = kit(thrown);
  expect(() => other.reservations.admitNow(other.request('first'))).toThrow(failure);
  expect(other.pipeline.failure).toBeUndefined();
  thrown.failure = failure;
  expect(() => other.reservations.admitNow(other.request('first'))).toThrow(failure);
  expect(other.pipeline.failure).toBe(failure);
  const sync: { failure?: AegisError; prepareSync: () => void; prepare: () => Promise<void> } = {
    prepare: () => new Promise(() => undefined),
    prepareSync: () => {
      sync.failure = failure;
      throw failure;
    },
  };
  const blocked = kit(sync);
  blocked.wait('first');
  expect(() => blocked.reservations.admitBlocking(blocked.request('own'))).toThrow(failure);
  expect(blocked.events).toEqual(['first: STORE_FAILED']);
});

test('reservations: a store that fails while a blocking request makes space admits nothing more', () => {
  const { reservations, request, events, pipeline, queue, push } = kit();
  push();
  pipeline.flushBlocking = () => {
    while (queue.length > 0) queue.shift();
    pipeline.fail(new AegisError('STORE_FAILED', 'an apply stopped halfway'));
  };
  expect(() => reservations.admitBlocking(request('late', { exclusive: true }))).toThrow('halfway');
  expect(events).not.toContain('late');
});

test('reservations: when serving one before a blocking request fails the store, the next is refused without a try', () => {
  const failure = new AegisError('STORE_FAILED', 'the store failed');
  const { pipeline, reservations, request, wait, push, events } = kit();
  push();
  wait('first', {
    exclusive: true,
    admit: () => {
      pipeline.failure = failure;
      throw failure;
    },
  });
  wait('second');
  expect(() => reservations.admitBlocking(request('own'))).toThrow(failure);
  expect(events).toEqual(['schedule', 'flush', 'first: STORE_FAILED', 'second: STORE_FAILED']);
});
