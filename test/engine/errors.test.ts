/* What an error looks like when somebody prints it. */
import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { AegisError, StorageEngine } from '../../src/index.ts';
import { rejected } from '../support/refused.ts';

test('errors: one that is printed shows what it knows, and no empty fields', async () => {
  const error = await rejected('INVALID_ARGUMENT', () => StorageEngine.open({ pageSize: 1 }));
  expect(Object.keys(error).sort()).toEqual(['code', 'name']);
  expect(inspect(error)).toMatch(/^AegisError: pageSize is 1;/);
  expect(inspect(error)).not.toContain('undefined');
  expect('file' in error).toBe(false);
});

test('errors: evidence that is known is there, and evidence given as undefined is not', () => {
  const evidence = { file: 'data', offset: 0, page: 7, errno: 'EIO', operation: 'read', pid: 12 };
  const cause = new Error('why');
  const whole = new AegisError('IO_ERROR', 'it failed', { ...evidence, cause });
  expect({ ...whole }).toEqual({ name: 'AegisError', code: 'IO_ERROR', ...evidence });
  expect(whole.cause).toBe(cause);
  const nothing = Object.fromEntries(Object.keys({ ...evidence, cause }).map((name) => [name, undefined]));
  const empty = new AegisError('IO_ERROR', 'it failed', nothing);
  expect(Object.keys(empty).sort()).toEqual(['code', 'name']);
  expect('cause' in empty).toBe(false);
});
