/*
 * Rot in a log that is being written: planted under the feet of an open store, where the next crash would need the
 * bytes. Verification names it.
 */
import { expect, test } from 'vitest';
import { GROUP_HEADER_SIZE, PART_FIRST, PART_LAST, SECTOR_SIZE } from '../../assembly/layout.ts';
import { report } from '../support/report.ts';
import { long } from '../support/seed.ts';
import { xxh64 } from '../support/xxh64.ts';
import { contentOf, type FoundGroup, overwrite } from '../wal/log-kit.ts';
import { type Ground, makeGround } from './verify-log-kit.ts';

function bytesOf({ backend }: Ground, { file, offset, length }: FoundGroup): Uint8Array {
  return contentOf(backend, file).slice(offset, offset + length);
}

/** Changes a group, and makes its checksums fit unless asked not to. */
function change(
  ground: Ground,
  group: FoundGroup,
  edit: (view: DataView, bytes: Uint8Array) => void,
  sealed = true,
): void {
  const bytes = bytesOf(ground, group);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  edit(view, bytes);
  if (sealed) {
    const length = view.getUint32(4, true);
    view.setBigUint64(48, xxh64(bytes.slice(GROUP_HEADER_SIZE, GROUP_HEADER_SIZE + length), 0n), true);
    view.setBigUint64(56, xxh64(bytes.slice(0, 56), 0n), true);
  }
  overwrite(ground.backend, group.file, group.offset, bytes);
}

const flip = (at: number, mask: number) => (_: DataView, bytes: Uint8Array) => {
  bytes[at] = bytes[at]! ^ mask;
};

const PART = GROUP_HEADER_SIZE;
const RECORD = PART + 24;

interface Row {
  readonly kind: string;
  readonly plant: (ground: Ground) => void;
  readonly says: RegExp;
}

const third = ({ groups }: Ground): FoundGroup => groups[2]!;
/** The groups of the long commit, which have only pieces of it. */
const pieces = ({ groups }: Ground): FoundGroup[] => groups.filter(({ length }) => length > 4000);
const segmentOf = (ground: Ground): string => pieces(ground).at(-1)!.file;

const rows: Row[] = [
  {
    kind: 'a bit turned over in the header of a group',
    plant: (g) => change(g, third(g), flip(33, 4), false),
    says: /has no whole header/,
  },
  {
    kind: 'a bit turned over in the payload of a group',
    plant: (g) => change(g, third(g), flip(300, 4), false),
    says: /has not the payload it was written with/,
  },
  {
    kind: 'a bit turned over in the very last group',
    plant: (g) => change(g, g.groups.at(-1)!, flip(200, 1), false),
    says: /has not the payload it was written with/,
  },
  {
    kind: 'a sector of a group written over with zeros',
    plant: (g) => overwrite(g.backend, third(g).file, third(g).offset, new Uint8Array(SECTOR_SIZE)),
    says: /has no whole header/,
  },
  {
    kind: 'a sector in the middle of a group that never landed',
    plant: (g) =>
      overwrite(g.backend, third(g).file, third(g).offset + SECTOR_SIZE, new Uint8Array(SECTOR_SIZE)),
    says: /has not the payload it was written with/,
  },
  {
    kind: 'a group that landed in the place of another',
    plant: (g) => overwrite(g.backend, third(g).file, third(g).offset, bytesOf(g, g.groups[1]!)),
    says: /belongs elsewhere in the log/,
  },
  {
    kind: 'a group of another life in its place, with another link',
    plant: (g) => change(g, third(g), (view) => view.setUint32(32, 7, true)),
    says: /does not follow the one before it/,
  },
  {
    kind: 'a group that its successor does not link to',
    plant: (g) => change(g, third(g), flip(300, 4)),
    says: /does not follow the one before it/,
  },
  {
    kind: 'a group older than its segment',
    plant: (g) => change(g, third(g), (view) => view.setBigUint64(16, 1n, true)),
    says: /is older than its segment/,
  },
  {
    kind: "a group of another store's log",
    plant: (g) => change(g, third(g), (view) => view.setUint32(8, 99, true)),
    says: /has no whole header/,
  },
  {
    kind: 'a group longer than groups are',
    plant: (g) =>
      change(
        g,
        third(g),
        (view, bytes) => {
          view.setUint32(4, 0x7fffffff, true);
          view.setBigUint64(56, xxh64(bytes.slice(0, 56), 0n), true);
        },
        false,
      ),
    says: /has no whole header/,
  },
  {
    kind: 'a record of no known kind',
    plant: (g) => change(g, third(g), (view) => view.setUint8(RECORD, 77)),
    says: /no writer makes such records/,
  },
  {
    kind: 'a record longer than its part',
    plant: (g) => change(g, third(g), (view) => view.setUint32(RECORD + 8, 900_000, true)),
    says: /no writer makes such records/,
  },
  {
    kind: 'more records than a part has space for',
    plant: (g) => change(g, third(g), (view) => view.setUint32(PART + 16, 50, true)),
    says: /no writer makes such records/,
  },
  {
    kind: 'a commit that is missing',
    plant: (g) =>
      change(g, third(g), (view) =>
        view.setBigUint64(PART + 8, view.getBigUint64(PART + 8, true) + 1n, true),
      ),
    says: /holds commit \d+ after \d+/,
  },
  {
    kind: 'a commit that comes a second time',
    plant: (g) =>
      change(g, third(g), (view) =>
        view.setBigUint64(PART + 8, view.getBigUint64(PART + 8, true) - 1n, true),
      ),
    says: /holds commit \d+ after \d+/,
  },
  {
    kind: 'a commit that begins inside another',
    plant: (g) => change(g, third(g), (view) => view.setUint32(PART + 4, PART_LAST, true)),
    says: /goes on with commit \d+, which is not the one before it/,
  },
  {
    kind: 'a commit that never ends',
    plant: (g) => {
      change(g, third(g), (view) => view.setUint32(PART + 4, PART_FIRST, true));
      // The next one links to it again: only what it means is wrong.
      const link = bytesOf(g, third(g)).slice(56, 64);
      change(g, g.groups[3]!, (_, bytes) => bytes.set(link, 32));
    },
    says: /begins commit \d+ inside commit \d+/,
  },
  {
    kind: 'a group without commits in the middle of a commit',
    plant: (g) => change(g, pieces(g)[1]!, (view) => view.setUint32(4, 0, true)),
    says: /stands in the middle of a commit/,
  },
  {
    kind: 'a piece of a value longer than what is left of it',
    plant: (g) =>
      change(g, pieces(g).at(-1)!, (view) =>
        view.setUint32(RECORD + 8, view.getUint32(RECORD + 8, true) + 1, true),
      ),
    says: /no writer makes such records/,
  },
  {
    kind: 'a bit turned over in the header of a segment',
    plant: (g) => overwrite(g.backend, segmentOf(g), 20, new Uint8Array([255])),
    says: /its header is not what was written/,
  },
  {
    kind: 'the header of another segment',
    plant: (g) => {
      const other = contentOf(g.backend, g.groups[0]!.file).slice(0, SECTOR_SIZE);
      overwrite(g.backend, segmentOf(g), 0, other);
    },
    says: /its header is not what was written/,
  },
  {
    kind: 'a log file in use that was cut short',
    plant: (g) => g.backend.open(segmentOf(g), { create: false }).truncate(700),
    says: /was cut short: it ends at 700/,
  },
  {
    kind: 'a log file in use that is empty',
    plant: (g) => g.backend.open(segmentOf(g), { create: false }).truncate(0),
    says: /its header is not what was written/,
  },
  {
    kind: 'a log file not in use that was cut short',
    plant: (g) => {
      const used = new Set(g.groups.map(({ file }) => file));
      const spare = g.backend.list().find((name) => name.startsWith('log-') && !used.has(name))!;
      g.backend.open(spare, { create: false }).truncate(4096);
    },
    says: /was cut short: it ends at 4096/,
  },
  {
    kind: 'a log file that was removed',
    plant: (g) => g.backend.remove(segmentOf(g)),
    says: /the file log-\d+ is not there any more/,
  },
  {
    kind: 'a data file that was removed',
    plant: (g) => g.backend.remove('data'),
    says: /the file data is not there any more/,
  },
];

test.each(rows)('verify: finds $kind in a live log', async ({ plant, says }) => {
  const ground = await makeGround();
  const { engine } = ground;
  expect((await engine.verify()).problems).toEqual([]);
  plant(ground);
  const found = await engine.verify();
  expect(found.problems.map(({ message }) => message).join('\n')).toMatch(says);
  expect(found.problems[0]!.file).toMatch(/^(log-\d+|data)$/);
  // What a writer does next must not depend on the walk.
  await engine.put('one more', 'value');
  expect(engine.getString('one more')).toBe('value');
});

test('verify: the kinds of damage to a live log are all there', () => {
  expect(new Set(rows.map(({ kind }) => kind)).size).toBe(rows.length);
  const figures = { 'kinds planted': rows.length, missed: 0 };
  report(
    'verify, planted damage in a live log',
    figures,
    'npx vitest run test/maintenance/verify-log.test.ts',
  );
  expect(rows.length).toBeGreaterThanOrEqual(25);
});

test('verify: what rots in the log before a crash is found before it, and would have been lost', async () => {
  const ground = await makeGround();
  const { backend, engine, groups } = ground;
  const bits = [20, 60, 400];
  for (const group of groups) {
    for (const bit of bits.slice(0, long ? 3 : 1)) {
      const at = bit + (group.lsn % 7);
      const before = bytesOf(ground, group);
      change(ground, group, flip(at, 16), false);
      const [problem, ...more] = (await engine.verify()).problems;
      expect(problem).toMatchObject({ file: group.file, offset: group.offset });
      expect(more).toEqual([]);
      overwrite(backend, group.file, group.offset, before);
    }
  }
  expect((await engine.verify()).problems).toEqual([]);
});
