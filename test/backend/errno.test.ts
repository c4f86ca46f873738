/* What a system's error is called, and which code of ours it gets, whatever the runtime makes of it. */
import { constants } from 'node:os';
import { expect, test } from 'vitest';
import { codeOfErrno, nameOfError } from '../../src/backend/errno.ts';
import { systemError } from '../../src/backend/local-system.ts';

const numbers = { ENOENT: 2, EIO: 5, EINVAL: 22, EFBIG: 27, ENOSPC: 28, EDQUOT: 122 };
const name = (cause: unknown, isWindows = false) => nameOfError(cause, numbers, isWindows);

test.each<[string, unknown, string | undefined]>([
  ['a code', Object.assign(new Error('x'), { code: 'EIO' }), 'EIO'],
  ['a code of another realm', { code: 'EIO', message: 'x' }, 'EIO'],
  ['a code and another number', Object.assign(new Error('x (os error 28)'), { code: 'EIO' }), 'EIO'],
  ['a number at the end', new Error('File too large (os error 27)'), 'EFBIG'],
  ['a number in a TypeError', new TypeError('Invalid argument (os error 22)'), 'EINVAL'],
  ['a number and what was done', new Error('Disk quota exceeded (os error 122)\n'), 'EDQUOT'],
  ['a number in the midst of it', new Error('(os error 27) is what it did not say'), undefined],
  ['a number nobody knows', new Error('strange (os error 9999)'), undefined],
  ['the number alone, as libuv gives it', Object.assign(new Error('x'), { errno: -28 }), 'ENOSPC'],
  [
    'a permission that Deno was not given',
    Object.assign(new Error('x'), { name: 'NotCapable' }),
    'ERR_ACCESS_DENIED',
  ],
  ['none', new Error('x'), undefined],
  ['a text', 'EIO', undefined],
  ['nothing', undefined, undefined],
  ['null', null, undefined],
])('errno: the name of an error with %s', (_what, cause, expected) => {
  expect(name(cause)).toBe(expected);
});

test('errno: Windows counts otherwise', () => {
  expect(name(new Error('There is not enough space on the disk. (os error 112)'), true)).toBe('ENOSPC');
  expect(name(new Error('The file size exceeds the limit (os error 223)'), true)).toBe('EFBIG');
  expect(name(new Error('access denied (os error 27)'), true)).toBe(undefined);
});

test.each([
  ['ENOSPC', 'OUT_OF_SPACE'],
  ['EDQUOT', 'OUT_OF_SPACE'],
  ['EFBIG', 'OUT_OF_SPACE'],
  ['EIO', 'IO_ERROR'],
] as const)('errno: %s without a code is told like one with it', (errno, code) => {
  const told = systemError(new Error(`it failed (os error ${constants.errno[errno]})`), 'write', 'data');
  expect(told).toMatchObject({ code, errno, file: 'data', operation: 'write' });
  expect(codeOfErrno(errno, 'sync')).toBe('IO_ERROR');
});

test('errno: what a runtime does not permit is UNSUPPORTED, and says so', () => {
  const denied = Object.assign(new Error('Requires write access'), { name: 'NotCapable' });
  const told = systemError(denied, 'open', 'data');
  expect(told).toMatchObject({ code: 'UNSUPPORTED', errno: 'ERR_ACCESS_DENIED', cause: denied });
  expect(told.message).toMatch(/Requires write access .*permission/);
});
