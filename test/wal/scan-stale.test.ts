/* Groups that must not come back, and sequences that must not repeat. */
import { describe, expect, test } from 'vitest';
import { LOG_AREA, PART_FIRST, PART_LAST } from '../../assembly/layout.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { seed } from '../support/seed.ts';
import { CrashDisk } from './crash-disk.ts';
import {
  BEGINNING,
  buildPayload,
  commit,
  contentOf,
  damage,
  EMPTY,
  groupsIn,
  openLog,
  overwrite,
  readLog,
  STORE_ID,
  valueFor,
  writeCommits,
  writeGroup,
} from './log-kit.ts';
import { Random } from './random.ts';

describe('what must not come back', () => {
  test('log: a stale group behind a new one is kept out by the link', async () => {
    const backend = new MemoryBackend();
    const first = await openLog(backend);
    writeCommits(first.core, first.log, 1, 3);
    const [, second] = groupsIn(first.core, backend);
    overwrite(backend, second!.file, second!.offset, EMPTY);
    const { core, log, scan } = await openLog(backend);
    expect(scan.lastSequence).toBe(1);
    writeCommits(core, log, 2, 2, 20);
    expect(groupsIn(core, backend).map(({ fence }) => fence)).toEqual([1, 2, 1]);
    expect((await readLog(backend)).sequences).toEqual([1, 2]);
  });

  test('log: groups of an earlier use of a segment are kept out', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend, { segmentSize: 4096 });
    writeCommits(core, log, 1, 6);
    log.release(log.end);
    const start = { ...log.position, sequence: 6, mark: 0, size: 0 };
    writeCommits(core, log, 7, 7, 2000);
    log.release(log.end);
    writeCommits(core, log, 8, 8, 2500);
    expect(backend.list()).toEqual(['log-1', 'log-2']);
    expect((await readLog(backend, start)).sequences).toEqual([7, 8]);
    writeCommits(core, log, 9, 9);
    expect((await readLog(backend, start)).sequences).toEqual([7, 8, 9]);
  });

  /*
   * Life 1 begins log-2 with commit 3; the power cut loses only the header sector. Life 2 does not see the group and
   * begins log-2 at the same LSN with another commit 3; of that write only the header lands. Now commit 3 of life 1
   * has the right place and the right link again.
   */
  test('log: a group older than the header of its segment is a ghost', async () => {
    const backend = new MemoryBackend();
    const first = await openLog(backend, { segmentSize: 2048 });
    writeCommits(first.core, first.log, 1, 2, 200);
    first.log.prepareSync(1200);
    const before = contentOf(backend, 'log-2').slice(0, 512);
    writeCommits(first.core, first.log, 3, 3, 1200);
    expect((await readLog(backend)).sequences).toEqual([1, 2, 3]);
    overwrite(backend, 'log-2', 0, before);
    const ghost = contentOf(backend, 'log-2').slice(512);

    const second = await openLog(backend, { segmentSize: 2048 });
    expect(second.scan.lastSequence).toBe(2);
    writeCommits(second.core, second.log, 3, 3, 1000);
    expect(backend.list()).toEqual(['log-1', 'log-2']);
    overwrite(backend, 'log-2', 512, ghost);
    expect(groupsIn(second.core, backend).map(({ fence, lsn }) => [fence, lsn])).toEqual([
      [1, 512],
      [1, 1024],
      [1, 2048],
    ]);
    expect((await readLog(backend)).sequences).toEqual([1, 2]);
  });

  test('log: of two groups at one place the higher fence wins', async () => {
    const backend = new MemoryBackend();
    const first = await openLog(backend, { segmentSize: 4096 });
    writeCommits(first.core, first.log, 1, 2, 200);
    // The beginning of a long commit begins log-2; a later life cuts it and goes on in log-1.
    writeGroup(first.core, first.log, [commit(3, valueFor(3, 3000), PART_FIRST)], false);
    const given = contentOf(backend, 'log-2');
    const second = await openLog(backend, { segmentSize: 4096 });
    overwrite(backend, 'log-2', 0, given); // as if it had not been made an end
    writeCommits(second.core, second.log, 3, 4, 200);
    const groups = groupsIn(second.core, backend);
    expect(groups.map(({ file, fence }) => [file, fence])).toEqual([
      ['log-1', 1],
      ['log-1', 1],
      ['log-1', 2],
      ['log-1', 2],
      ['log-2', 1],
    ]);
    expect(groups[4]!.lsn - 512).toBe(groups[2]!.lsn);
    expect((await readLog(backend)).sequences).toEqual([1, 2, 3, 4]);
  });

  test('log: of two groups of one fence at one place the one its segment begins with wins', async () => {
    const disk = new CrashDisk(new Random(seed));
    const { core, log } = await openLog(disk, { segmentSize: 4096 });
    writeCommits(core, log, 1, 2, 200);
    // This write fails, but all of it is in the file; taking it back never reaches the device.
    disk.onWrite = () => {
      disk.onWrite = undefined;
      return 1024;
    };
    const end = log.end;
    expect(() => writeCommits(core, log, 3, 3, 700)).toThrow('no space');
    const givenUp = valueFor(3, 700, 700);
    const length = buildPayload(core, [commit(3, givenUp)]);
    const link = log.position.link;
    core.x.groupConfigure(...STORE_ID, 1); // as before a commit given up raised the fence
    core.x.groupLinkSet(...link);
    core.x.groupSeal(LOG_AREA, length, end, 0);
    overwrite(disk, 'log-1', end, core.u8.slice(LOG_AREA, LOG_AREA + 1024));
    core.x.groupLinkSet(...link);
    writeCommits(core, log, 3, 4, 3000);
    expect(groupsIn(core, disk).map(({ file, lsn, fence }) => [file, lsn, fence])).toEqual([
      ['log-1', 512, 1],
      ['log-1', 1024, 1],
      ['log-1', end, 1],
      ['log-2', end + 512, 1],
      ['log-3', log.end - 3584, 1],
    ]);
    expect((await readLog(disk)).sequences).toEqual([1, 2, 3, 4]);
  });
});

describe('sequences', () => {
  test('log: commits the checkpoint holds may come again, in one group with new ones too', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend);
    writeCommits(core, log, 1, 3);
    writeGroup(
      core,
      log,
      [4, 5, 6].map((sequence) => commit(sequence, valueFor(sequence, 20))),
    );
    for (let sequence = 0; sequence <= 6; sequence++) {
      const { scan, sequences } = await readLog(backend, { ...BEGINNING, sequence });
      expect([sequences, scan.lastSequence]).toEqual([[1, 2, 3, 4, 5, 6], 6]);
    }
    expect((await readLog(backend, { ...BEGINNING, sequence: 9 })).scan.lastSequence).toBe(9);
  });

  test.each([
    ['a gap', [[1], [3]]],
    ['a repetition', [[1], [1]]],
    ['a step back', [[1], [2], [1]]],
    ['a gap to the checkpoint', [[2]]],
    ['a gap in a group', [[1, 3]]],
  ])('log: %s is CORRUPTION', async (_name, groups) => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend);
    for (const sequences of groups) {
      writeGroup(
        core,
        log,
        sequences.map((sequence) => commit(sequence, valueFor(1, 10))),
      );
    }
    await expect(readLog(backend)).rejects.toEqual(damage);
  });

  test.each([
    ['a commit that goes on without having begun', [[1, 0]]],
    [
      'a commit that begins inside another',
      [
        [1, PART_FIRST],
        [2, PART_FIRST | PART_LAST],
      ],
    ],
    [
      'a commit that goes on with another number',
      [
        [1, PART_FIRST],
        [2, PART_LAST],
      ],
    ],
    ['a group without commits inside one', [[1, PART_FIRST], []]],
  ])('log: %s is CORRUPTION', async (_name, groups) => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend);
    for (const [sequence, flags] of groups) {
      writeGroup(core, log, sequence === undefined ? [] : [commit(sequence, valueFor(1, 10), flags)], false);
    }
    await expect(readLog(backend)).rejects.toEqual(damage);
  });
});
