/* Space reservations: the order of those who wait for space, and what they are told when there will be none. */
import { expect, test } from 'vitest';
import { AegisError } from '../../src/base/errors.ts';
import { kit } from './reservations-kit.ts';

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
