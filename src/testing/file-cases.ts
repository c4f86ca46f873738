/** The cases of the backend suite about one file: reading, writing, cutting, syncing, closing. */
import { expect, expectBytes, expectError } from './expect.ts';
import { contentOf, joined, type PlaceCase, pattern } from './place.ts';

export const fileCases: readonly PlaceCase[] = [
  [
    'a read gives what was written, short only at the end of the file',
    async (place) => {
      const file = await place.open('data');
      const bytes = pattern(10_000, 1);
      file.write([bytes], 0);
      expect(file.size() === 10_000, 'the size is not what was written');
      for (const [position, length] of [
        [0, 10_000],
        [4095, 2],
        [9999, 1],
        [5000, 0],
      ] as const) {
        const target = new Uint8Array(length);
        expect(file.read(target, position) === length, `read of ${length} bytes at ${position} was short`);
        expectBytes(target, bytes.subarray(position, position + length), `read at ${position}`);
      }
      const target = new Uint8Array(100).fill(0xee);
      expect(file.read(target, 9950) === 50, 'a read over the end does not stop there');
      expectBytes(target, joined(bytes.subarray(9950), new Uint8Array(50).fill(0xee)), 'read over the end');
      expect(file.read(target, 10_000) === 0, 'a read at the end is not empty');
      expect(file.read(target, 1_000_000) === 0, 'a read beyond the end is not empty');
    },
  ],
  [
    'a read fills exactly the array it was given, also in the middle of a buffer',
    async (place) => {
      const file = await place.open('data');
      file.write([pattern(300, 2)], 0);
      const memory = new Uint8Array(400).fill(0xaa);
      expect(file.read(memory.subarray(100, 200), 50) === 100, 'the read was short');
      const around = new Uint8Array(400).fill(0xaa);
      around.set(pattern(300, 2).subarray(50, 150), 100);
      expectBytes(memory, around, 'the buffer around the array');
    },
  ],
  [
    'a write puts its parts one after the other, from the middle of a buffer too',
    async (place) => {
      const file = await place.open('data');
      const source = pattern(5000, 3);
      const parts = [
        source.subarray(10, 20),
        new Uint8Array(0),
        source.subarray(1000, 4000),
        source.subarray(7, 8),
      ];
      file.write(parts, 3);
      file.write([], 9000);
      file.write([new Uint8Array(0)], 9000);
      expectBytes(contentOf(file), joined(new Uint8Array(3), ...parts), 'the file');
    },
  ],
  [
    'a write of a great many parts is whole',
    async (place) => {
      const file = await place.open('data');
      const parts = Array.from({ length: 3000 }, (_, index) => pattern((index % 5) + 1, index));
      file.write(parts, 0);
      expectBytes(contentOf(file), joined(...parts), 'the file');
    },
  ],
  [
    'a write replaces bytes and leaves its neighbours alone',
    async (place) => {
      const file = await place.open('data');
      const bytes = pattern(200_000, 4);
      file.write([bytes], 0);
      const patch = pattern(70_000, 99);
      file.write([patch], 65_530);
      bytes.set(patch, 65_530);
      expectBytes(contentOf(file), bytes, 'the file');
    },
  ],
  [
    'the array of a write may be changed once it has returned',
    async (place) => {
      const file = await place.open('data');
      const bytes = pattern(1000, 5);
      file.write([bytes], 0);
      bytes.fill(0);
      expectBytes(contentOf(file), pattern(1000, 5), 'the file');
    },
  ],
  [
    'what was never written below the end reads as zeros',
    async (place) => {
      const file = await place.open('data');
      file.write([pattern(10, 6)], 300_000);
      const bytes = contentOf(file);
      expectBytes(bytes.subarray(0, 300_000), new Uint8Array(300_000), 'the hole');
      expectBytes(bytes.subarray(300_000), pattern(10, 6), 'the bytes behind the hole');
    },
  ],
  [
    'truncate cuts, and extends with zeros',
    async (place) => {
      const file = await place.open('data');
      file.write([pattern(150_000, 7)], 0);
      file.truncate(70_001);
      expect(file.size() === 70_001, 'the file was not cut');
      file.truncate(140_000);
      expect(file.size() === 140_000, 'the file was not extended');
      const expected = new Uint8Array(140_000);
      expected.set(pattern(150_000, 7).subarray(0, 70_001));
      expectBytes(contentOf(file), expected, 'the file');
      file.truncate(0);
      expect(file.size() === 0, 'the file was not emptied');
      file.write([pattern(4, 8)], 2);
      expectBytes(contentOf(file), joined(new Uint8Array(2), pattern(4, 8)), 'the file written anew');
    },
  ],
  [
    'positions beyond 4 GiB are exact',
    async (place) => {
      const file = await place.open('data');
      const far = 5 * 2 ** 30 + 7;
      file.write([pattern(20_000, 9)], far);
      file.write([pattern(100, 10)], far - 2 ** 32);
      expect(file.size() === far + 20_000, 'the size is wrong');
      const target = new Uint8Array(20_000);
      expect(file.read(target, far) === 20_000, 'the read was short');
      expectBytes(target, pattern(20_000, 9), 'the far bytes');
      file.truncate(0);
    },
  ],
  [
    'places that cannot be are refused',
    async (place) => {
      const file = await place.open('data');
      const bytes = new Uint8Array(1);
      for (const position of [-1, 0.5, Number.NaN, 2 ** 53]) {
        await expectError(['INVALID_ARGUMENT'], `read at ${position}`, () => file.read(bytes, position));
        await expectError(['INVALID_ARGUMENT'], `write at ${position}`, () => file.write([bytes], position));
        await expectError(['INVALID_ARGUMENT'], `truncate to ${position}`, () => file.truncate(position));
      }
      expect(file.size() === 0, 'the file changed');
    },
  ],
  [
    'two handles of one file see each other at once',
    async (place) => {
      const one = await place.open('data');
      const two = await place.open('data');
      one.write([pattern(100, 11)], 0);
      expectBytes(contentOf(two), pattern(100, 11), 'through the second handle');
      two.write([pattern(50, 12)], 100);
      one.truncate(120);
      expectBytes(
        contentOf(two),
        joined(pattern(100, 11), pattern(50, 12).subarray(0, 20)),
        'after both wrote',
      );
      one.close();
      two.write([pattern(5, 13)], 0);
      two.syncSync();
      expectBytes(contentOf(two).subarray(0, 5), pattern(5, 13), 'after the first was closed');
    },
  ],
  [
    'a file keeps its bytes when it is closed and opened again',
    async (place) => {
      await place.put('data', pattern(70_000, 14));
      expectBytes(contentOf(await place.open('data')), pattern(70_000, 14), 'opened with create');
      expectBytes(
        contentOf(await place.open('data', { create: false })),
        pattern(70_000, 14),
        'without create',
      );
    },
  ],
  [
    'an absent file is NOT_FOUND unless it may be made',
    async (place) => {
      for (const readOnly of [false, true]) {
        await expectError(['NOT_FOUND'], 'open', () =>
          place.backend.open('data', { create: false, readOnly }),
        );
      }
      expect((await place.list()).length === 0, 'the open left a file');
    },
  ],
  [
    'a file opened for reading cannot be changed',
    async (place) => {
      await place.put('data', pattern(100, 15));
      const file = await place.open('data', { create: false, readOnly: true });
      await expectError(['READ_ONLY'], 'write', () => file.write([pattern(1, 0)], 0));
      await expectError(['READ_ONLY'], 'truncate', () => file.truncate(0));
      expectBytes(contentOf(file), pattern(100, 15), 'the file');
    },
  ],
  [
    'syncs of all kinds succeed, one by one and at once',
    async (place) => {
      const file = await place.open('data');
      file.write([pattern(1000, 16)], 0);
      file.syncSync();
      await file.sync();
      const first = file.sync();
      file.write([pattern(1000, 17)], 500);
      file.syncSync();
      await Promise.all([first, file.sync(), file.sync()]);
      expectBytes(contentOf(file).subarray(500, 1500), pattern(1000, 17), 'the file');
      await place.backend.syncDirectory();
    },
  ],
  [
    'a close during a sync lets it end well',
    async (place) => {
      const file = await place.open('data');
      file.write([pattern(300_000, 18)], 0);
      const syncs = [file.sync(), file.sync()];
      file.close();
      const other = await place.open('other');
      other.write([pattern(10, 19)], 0);
      await Promise.all(syncs);
      expectBytes(contentOf(await place.open('data')), pattern(300_000, 18), 'the closed file');
      expectBytes(contentOf(other), pattern(10, 19), 'the file opened meanwhile');
    },
  ],
  [
    'close may be called twice, and a closed file answers CLOSED',
    async (place) => {
      const file = await place.open('data');
      file.close();
      file.close();
      const bytes = new Uint8Array(1);
      await expectError(['CLOSED'], 'size', () => file.size());
      await expectError(['CLOSED'], 'read', () => file.read(bytes, 0));
      await expectError(['CLOSED'], 'write', () => file.write([bytes], 0));
      await expectError(['CLOSED'], 'truncate', () => file.truncate(0));
      await expectError(['CLOSED'], 'syncSync', () => file.syncSync());
      await expectError(['CLOSED'], 'sync', () => promised(() => file.sync()));
    },
  ],
];

/** What returns a promise rejects; it does not throw. */
function promised(call: () => Promise<void>): Promise<void> {
  try {
    return call();
  } catch (cause) {
    throw new Error('it throws instead of rejecting', { cause });
  }
}
