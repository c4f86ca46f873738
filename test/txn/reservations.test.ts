/* Space reservations: the order of those who wait for space, and what they are told when there will be none. */
import { expect, test } from 'vitest';
import { AegisError } from '../../src/base/errors.ts';
import { ComingTrees } from '../../src/store/coming-trees.ts';
import type { CommitPipeline } from '../../src/txn/commit.ts';
import { CommitQueue } from '../../src/txn/queue.ts';
import { type LogLimit, type Request, Reservations } from '../../src/txn/reservations.ts';
import type { Log } from '../../src/wal/log.ts';

const outOfSpace = () => new AegisError('OUT_OF_SPACE', 'the disk is full');
const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

/** A queue in front of a pipeline, a log and a limit that do what the test says, and note what they were asked for. */
function kit(log: Partial<Log> | undefined = undefined, limit: Partial<LogLimit> = {}) {
  const queue = new CommitQueue(new ComingTrees());
  const events: string[] = [];
  const pipeline = {
    queue,
    maxPayload: 1000,
    failure: undefined as AegisError | undefined,
    schedule: () => void events.push('schedule'),
    woken: 0,
    wake: () => void ++pipeline.woken,
    resume: () => {
      ++pipeline.woken;
      reservations.serve();
    },
    flushBlocking: () => {
      events.push('flush');
      while (queue.length > 0) queue.shift();
    },
    fail: (cause: AegisError) => {
      pipeline.failure ??= cause;
      reservations.serve();
    },
  };
  const all = {
    isExceeded: false,
    shorten: () => void events.push('shorten'),
    shortenNow: () => void events.push('shorten now'),
    free: (): Promise<unknown> | undefined => undefined,
    freeNow: () => false,
    ...limit,
  };
  const reservations: Reservations = new Reservations({
    pipeline: pipeline as unknown as CommitPipeline,
    log: log as Log | undefined,
    limit: all,
  });
  const request = (name: string, more: Partial<Request> = {}): Request => ({
    bytes: 10,
    exclusive: false,
    admit: () => void events.push(name),
    ...more,
  });
  const wait = (name: string, more: Partial<Request> = {}): void =>
    reservations.wait(request(name, more), (error) => void events.push(`${name}: ${codeOf(error)}`));
  const push = (alone = false): void => {
    const load = { operations: 1, pages: 0.1, named: 0 };
    const buffer = queue.filling;
    const done = () => undefined;
    const rest = {
      end: 0,
      deleted: 0,
      sync: true,
      from: 0,
      to: 0,
      writes: undefined,
      makes: undefined,
      written: false,
    };
    queue.push({ ...rest, sequence: 1, buffer, load, alone, tracked: false, done });
  };
  return { queue, events, pipeline, reservations, limit: all, request, wait, push };
}

function codeOf(error: unknown): string {
  return error instanceof AegisError ? error.code : String(error);
}

test('reservations: who comes when nobody waits and there is space is admitted at once', () => {
  const { reservations, request, events } = kit();
  expect(reservations.admitNow(request('first'))).toBe(true);
  expect(events).toEqual(['first', 'schedule']);
});

test('reservations: they are admitted in the order of their coming, each once, when what is before them is applied', () => {
  const { reservations, request, wait, push, queue, events } = kit();
  push();
  wait('large', { exclusive: true });
  wait('small');
  expect(reservations.admitNow(request('late'))).toBe(false);
  expect(events).toEqual(['schedule']);
  expect(reservations.length).toBe(2);
  reservations.serve();
  queue.shift();
  reservations.serve();
  expect(events.filter((event) => event !== 'schedule')).toEqual(['large', 'small']);
  expect(reservations.length).toBe(0);
});

test('reservations: nobody is admitted behind a commit that must be alone, nor beyond the log buffer', () => {
  const { reservations, request, push, queue } = kit();
  push(true);
  expect(reservations.admitNow(request('beside'))).toBe(false);
  queue.shift();
  expect(reservations.admitNow(request('wide', { bytes: 1100 }))).toBe(false);
  expect(reservations.admitNow(request('fits'))).toBe(true);
});

test('reservations: space that an admission frees on the way lets nobody past those before', () => {
  const { reservations, wait, queue, push, events } = kit();
  push();
  wait('first', {
    exclusive: true,
    admit: () => {
      reservations.serve();
      events.push('first');
    },
  });
  wait('second');
  queue.shift();
  reservations.serve();
  expect(events.filter((event) => event !== 'schedule')).toEqual(['first', 'second']);
});

test('reservations: one that is refused is told alone, and the next one is served', () => {
  const { reservations, wait, queue, push, events } = kit();
  push();
  const admit = (): void => {
    throw new AegisError('CONFLICT', 'another one was first');
  };
  wait('first', { exclusive: true, admit });
  wait('second');
  queue.shift();
  reservations.serve();
  expect(events.filter((event) => event !== 'schedule')).toEqual(['first: CONFLICT', 'second']);
});

test('reservations: a blocking request serves those before it, and its refusal leaves nothing unwritten', () => {
  const { reservations, request, wait, push, events } = kit();
  push();
  wait('first', { exclusive: true });
  const admit = (): void => {
    push();
    throw new AegisError('CONFLICT', 'another one was first');
  };
  expect(() => reservations.admitBlocking(request('own', { admit }))).toThrow('another one');
  expect(events).toEqual(['schedule', 'flush', 'first', 'schedule']);
});

test('reservations: no checkpoint is begun for a log that is too long before what is queued is applied', () => {
  const { reservations, queue, limit, wait, push, events } = kit(undefined, { isExceeded: true });
  push();
  wait('first');
  reservations.serve();
  expect(events.filter((event) => event === 'shorten')).toEqual([]);
  queue.markWritten(1);
  queue.shift();
  reservations.serve();
  expect(events.at(-1)).toBe('shorten');
  limit.isExceeded = false;
  reservations.serve();
  expect(events.at(-1)).toBe('first');
});

test('reservations: who is not ready is waited for, and made ready by a blocking one', () => {
  const { reservations, request, wait, events } = kit();
  let isReady = false;
  const ready = (now: boolean): boolean => {
    if (now) events.push('made ready');
    isReady ||= now;
    return isReady;
  };
  expect(reservations.admitNow(request('first', { ready }))).toBe(false);
  wait('first', { ready });
  wait('second');
  reservations.serve();
  expect(events.filter((event) => event !== 'wake')).toEqual([]);
  reservations.admitBlocking(request('own'));
  expect(events.filter((event) => /first|second|own|made/.test(event))).toEqual([
    'made ready',
    'first',
    'second',
    'own',
  ]);
  const broken = (): boolean => {
    throw new AegisError('CORRUPTION', 'it cannot be put in order');
  };
  wait('broken', { ready: broken });
  wait('behind');
  expect(events.slice(-2)).toEqual(['broken: CORRUPTION', 'behind']);
});

test('reservations: writers wait for a checkpoint when the log is too long, and a blocking one runs it', () => {
  const { reservations, limit, request, wait, events } = kit(undefined, { isExceeded: true });
  wait('first');
  expect(events).toEqual(['shorten']);
  reservations.admitBlocking(request('own'));
  expect(events).toEqual(['shorten', 'flush', 'shorten now', 'first', 'flush', 'shorten now', 'own']);
  wait('second');
  limit.isExceeded = false;
  reservations.serve();
  expect(events.at(-1)).toBe('second');
});

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
