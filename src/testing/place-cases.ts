/** The cases of the backend suite about the place as a whole: names, lists, removals, locks. */
import { expect, expectBytes, expectError } from './expect.ts';
import { contentOf, type PlaceCase, pattern } from './place.ts';

const BAD_NAMES: readonly string[] = [
  '',
  '.',
  '..',
  '../data',
  'a/../../b',
  '/etc/passwd',
  'a/b',
  'a\\b',
  'c:data',
  'data\0',
  'da\0ta',
  '\0',
  '.data',
  'data.',
  'Data',
  'da ta',
  'dätä',
  'data\n',
  'con',
  'nul.log',
  'lock',
  'a'.repeat(65),
  'a'.repeat(5000),
];

export const placeCases: readonly PlaceCase[] = [
  [
    'an empty place lists nothing',
    async (place) => {
      expect((await place.list()).length === 0, 'the place is not empty');
    },
  ],
  [
    'list names every file once',
    async (place) => {
      for (const name of ['data', 'wal-000001', 'a', '0', `z${'9'.repeat(63)}`, 'a.b-c']) {
        await place.put(name, pattern(1, 0));
      }
      await place.open('data');
      const names = await place.list();
      expect(names.join() === `0,a,a.b-c,data,wal-000001,z${'9'.repeat(63)}`, `it lists ${names.join()}`);
    },
  ],
  [
    'remove takes a file away, and an absent one is no error',
    async (place) => {
      await place.put('a', pattern(10, 20));
      await place.put('b', pattern(10, 21));
      await place.backend.remove('a');
      await place.backend.remove('a');
      await place.backend.remove('never');
      await place.backend.syncDirectory();
      expect((await place.list()).join() === 'b', 'the wrong files are left');
      expect((await place.open('a')).size() === 0, 'a file made anew holds old bytes');
    },
  ],
  [
    'names that lead elsewhere, are reserved or too long are refused everywhere',
    async (place) => {
      await place.put('a', pattern(10, 24));
      for (const name of BAD_NAMES) {
        const shown = JSON.stringify(name.slice(0, 70));
        const codes = ['INVALID_ARGUMENT'];
        await expectError(codes, `open ${shown}`, () => place.backend.open(name, { create: true }));
        await expectError(codes, `remove ${shown}`, () => place.backend.remove(name));
      }
      expect((await place.list()).join() === 'a', 'something happened all the same');
    },
  ],
  [
    'an exclusive lock keeps everybody else out until it is released',
    async (place) => {
      const lock = await place.backend.lock('exclusive');
      await place.put('data', pattern(10, 25));
      await expectError(['LOCKED'], 'a second writer', () => place.backend.lock('exclusive'));
      await expectError(['LOCKED'], 'a reader', () => place.backend.lock('shared'));
      await lock.release();
      await lock.release();
      const next = await place.backend.lock('exclusive');
      await lock.release();
      await expectError(['LOCKED'], 'after the first was released again', () =>
        place.backend.lock('exclusive'),
      );
      await next.release();
    },
  ],
  [
    'shared locks stand side by side and keep a writer out until the last is released',
    async (place) => {
      await place.put('data', pattern(10, 26));
      const one = await place.backend.lock('shared');
      const two = await place.backend.lock('shared');
      await expectError(['LOCKED'], 'a writer beside two readers', () => place.backend.lock('exclusive'));
      await one.release();
      await expectError(['LOCKED'], 'a writer beside one reader', () => place.backend.lock('exclusive'));
      await two.release();
      const writer = await place.backend.lock('exclusive');
      await expectError(['LOCKED'], 'a reader beside a writer', () => place.backend.lock('shared'));
      await writer.release();
    },
  ],
  [
    'a lock shows in no list and changes no file',
    async (place) => {
      await place.put('data', pattern(100, 27));
      for (const mode of ['exclusive', 'shared'] as const) {
        const lock = await place.backend.lock(mode);
        expect((await place.list()).join() === 'data', `while ${mode}, the list is another`);
        expectBytes(contentOf(await place.open('data')), pattern(100, 27), `while ${mode}, the file`);
        await lock.release();
        expect((await place.list()).join() === 'data', `after ${mode}, the list is another`);
      }
    },
  ],
];
