/* An error as it is printed: what is known of it, and no empty fields. */
import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { StorageEngine } from '../../src/engine.ts';
import { AegisError } from '../../src/errors.ts';

test('errors: an error has a field for what is known, and none for what is not', async () => {
  const engine = await StorageEngine.open();
  const refused = await engine.put(7 as never, 'v').catch((error: unknown) => error);
  await engine.close();
  const errors = [
    refused,
    new AegisError('CONFLICT', 'no evidence'),
    new AegisError('IO_ERROR', 'some', { errno: 'EIO', file: 'data', page: 0 }),
    new AegisError('CORRUPTION', 'evidence without a value', { file: undefined, offset: 512 } as never),
  ];
  const known = errors.map((error) => Object.keys(error as object).filter((name) => name !== 'name'));
  expect(known).toEqual([['code'], ['code'], ['code', 'errno', 'file', 'page'], ['code', 'offset']]);
  for (const error of errors) expect(inspect(error)).not.toContain('undefined');
});
