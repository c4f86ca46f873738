/* The order of those who wait for room, and what they are told when there will be none. */
import { expect, test } from 'vitest';
import { AegisError } from '../../src/errors.ts';
import { Admission, type AdmissionParts } from '../../src/txn/admission.ts';
import { Waiting } from '../../src/txn/waiting.ts';
import type { WriteSet } from '../../src/txn/write-set.ts';

test('waiting: room that an attempt frees on the way lets nobody past those before', () => {
  const waiting = new Waiting();
  const through: string[] = [];
  waiting.add(
    () => {
      expect(waiting.pump()).toBe(false);
      through.push('first');
      return true;
    },
    () => undefined,
  );
  waiting.add(
    () => through.push('second') > 0,
    () => undefined,
  );
  expect(waiting.pump()).toBe(true);
  expect([through, waiting.length]).toEqual([['first', 'second'], 0]);
});

test('waiting: who cannot be helped is told, and the next one tries', () => {
  const waiting = new Waiting();
  const told: unknown[] = [];
  for (const name of ['first', 'second']) {
    waiting.add(
      () => {
        throw new Error(name);
      },
      (error) => told.push((error as Error).message),
    );
  }
  expect(waiting.pump()).toBe(false);
  waiting.failFirst(new Error('nobody waits'));
  expect(told).toEqual(['first', 'second']);
});

test('admission: nothing is let into a store that has failed', () => {
  const failure = new AegisError('STORE_FAILED', 'the store failed');
  // Whoever waited when the store failed has been told; this is for a caller who comes by another way.
  const admission = new Admission({ pipeline: { failure } } as unknown as AdmissionParts);
  const how = { sync: true, blocking: true };
  const done = () => undefined;
  expect(() => admission.queue(() => 0, { operations: 1, bytes: 1, pages: 1, named: 0 }, how, done)).toThrow(
    failure,
  );
  expect(() => admission.queueLarge({} as WriteSet, how, done)).toThrow(failure);
});
