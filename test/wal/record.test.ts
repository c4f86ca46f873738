import { describe, expect, test } from 'vitest';
import {
  DAMAGE_CHECKSUM,
  DAMAGE_IDENTITY,
  DAMAGE_KIND,
  DAMAGE_MAGIC,
  DAMAGE_NONE,
  DAMAGE_ORDER,
  DAMAGE_OVERFLOW,
  DAMAGE_SIZE,
  GROUP_HEADER_SIZE,
  KEY_SIZE_MAX,
  LOG_AREA,
  LOG_BUFFER_SIZE,
  NAME_SIZE_MAX,
  PART_FIRST,
  PART_LAST,
  RECORD_DELETE,
  RECORD_DROP,
  RECORD_PUT,
  RECORD_PUT_LONG,
  RECORD_TREE,
  RECORD_VALUE,
  SEGMENT_HEADER_SIZE,
} from '../../assembly/layout.ts';
import {
  buildPayload,
  checksumBytes,
  commit,
  newCore,
  STORE_ID,
  type TestPart,
  type TestRecord,
  valueFor,
  WHOLE,
} from './log-kit.ts';

describe.each(['release', 'debug'] as const)('%s build', (target) => {
  const core = newCore(target);
  const { u8, x } = core;
  const view = new DataView(u8.buffer);
  const key = new Uint8Array([1, 2, 3]);

  function start(): void {
    x.groupConfigure(...STORE_ID, 2 ** 40 + 5);
    x.groupLinkSet(0x81234567, 0xfedcba98);
  }

  function seal(parts: readonly TestPart[], lsn = 5120, mark = 512): number {
    return x.groupSeal(LOG_AREA, buildPayload(core, parts), lsn, mark);
  }

  const hex = (from: number, to: number) => Buffer.from(u8.subarray(from, to)).toString('hex');

  test('record: a sealed group is the bytes the format says', () => {
    start();
    u8.fill(0xee, LOG_AREA, LOG_AREA + 2048);
    expect(seal([commit(7, Uint8Array.of(0xaa, 0xbb))], 2 ** 40, 2 ** 33)).toBe(512);
    expect(hex(LOG_AREA, LOG_AREA + 48)).toBe(
      '4147525030000000' + // magic, 48 bytes
        '78563412f0debc9a' + // store id
        '0500000000010000' + // fence
        '0000000000010000' + // LSN
        '6745238198badcfe' + // link
        '0000000002000000', // mark
    );
    expect(hex(LOG_AREA + 64, LOG_AREA + 112)).toBe(
      '18000000030000000700000000000000' + // 24 bytes, first and last part, sequence
        '0100000000000000' + // one record
        '010003000100000002000000' + // put, key of 3, tree 1, value of 2
        '010203aabb' +
        '00000000000000',
    );
    const payload = u8.slice(LOG_AREA + 64, LOG_AREA + 112);
    const header = u8.slice(LOG_AREA, LOG_AREA + 64);
    expect(u8.subarray(LOG_AREA + 112, LOG_AREA + 512)).toEqual(new Uint8Array(400));
    expect(u8[LOG_AREA + 512]).toBe(0xee);
    expect(checksumBytes(core, payload)).toEqual(header.slice(48, 56));
    expect(checksumBytes(core, header.subarray(0, 56))).toEqual(header.slice(56));
  });

  test('record: what was sealed is found whole, says its facts, and is what the next one links to', () => {
    start();
    seal([commit(7, valueFor(7, 30)), commit(8, valueFor(8, 600))]);
    const sum = [view.getUint32(LOG_AREA + 56, true), view.getUint32(LOG_AREA + 60, true)];
    expect([x.groupLinkLow() >>> 0, x.groupLinkHigh() >>> 0]).toEqual(sum);
    expect(x.groupFollows(LOG_AREA)).toBe(0);
    x.groupLinkSet(0x81234567, 0xfedcba98);
    expect(x.groupFollows(LOG_AREA)).toBe(1);
    expect([
      x.groupHeaderCheck(LOG_AREA),
      x.groupPayloadHolds(LOG_AREA),
      x.groupStructureCheck(LOG_AREA),
    ]).toEqual([0, 1, 0]);
    expect([x.groupLsn(LOG_AREA), x.groupMark(LOG_AREA), x.groupFence(LOG_AREA)]).toEqual([
      5120,
      512,
      2 ** 40 + 5,
    ]);
    expect([x.groupLength(LOG_AREA), x.groupPayloadLength(LOG_AREA)]).toEqual([1024, 712]);
    expect([x.groupParts(), x.groupFlags(), x.groupFirstSequence(), x.groupLastSequence()]).toEqual([
      2,
      WHOLE,
      7,
      8,
    ]);
    x.groupAccept(LOG_AREA);
    expect([x.groupLinkLow() >>> 0, x.groupLinkHigh() >>> 0]).toEqual(sum);
  });

  test('record: groups pad to sectors exactly', () => {
    start();
    for (const [payload, length] of [
      [0, 512],
      [448, 512],
      [449, 1024],
      [LOG_BUFFER_SIZE - 64, LOG_BUFFER_SIZE],
    ] as const) {
      u8.fill(1, LOG_AREA + 64, LOG_AREA + 64 + payload);
      expect(x.groupSeal(LOG_AREA, payload, 512, 0)).toBe(length);
      expect(x.groupLength(LOG_AREA)).toBe(length);
      expect(x.groupPayloadHolds(LOG_AREA)).toBe(1);
    }
  });

  test('record: every bit of a header is watched, and a torn payload leaves the header whole', () => {
    start();
    seal([commit(7, valueFor(7, 30))]);
    for (let bit = 0; bit < GROUP_HEADER_SIZE * 8; bit++) {
      u8[LOG_AREA + (bit >> 3)]! ^= 1 << (bit & 7);
      expect(x.groupHeaderCheck(LOG_AREA)).toBe(bit < 32 ? DAMAGE_MAGIC : DAMAGE_CHECKSUM);
      u8[LOG_AREA + (bit >> 3)]! ^= 1 << (bit & 7);
    }
    u8[LOG_AREA + 80]! ^= 1;
    expect([x.groupHeaderCheck(LOG_AREA), x.groupPayloadHolds(LOG_AREA), x.groupMark(LOG_AREA)]).toEqual([
      0, 0, 512,
    ]);
  });

  test.each([
    ["another store's id", 8, 1n, DAMAGE_IDENTITY],
    ['a payload larger than any', 4, BigInt(LOG_BUFFER_SIZE - 63), DAMAGE_SIZE],
    ['an LSN off the sectors', 24, 5121n, DAMAGE_ORDER],
    ['an LSN no number holds', 24, 2n ** 53n, DAMAGE_ORDER],
    ['a mark above its own place', 40, 5632n, DAMAGE_ORDER],
    ['a mark off the sectors', 40, 100n, DAMAGE_ORDER],
    ['a fence no number holds', 16, 2n ** 53n, DAMAGE_ORDER],
  ])('record: a header with %s is refused, whatever its checksum', (_name, at, value, damage) => {
    start();
    seal([commit(7, valueFor(7, 30))]);
    const header = u8.slice(LOG_AREA, LOG_AREA + 64);
    const fields = new DataView(header.buffer);
    if (at === 4) fields.setUint32(at, Number(value), true);
    else fields.setBigUint64(at, value, true);
    header.set(checksumBytes(core, header.subarray(0, 56)), 56);
    u8.set(header, LOG_AREA);
    expect(x.groupHeaderCheck(LOG_AREA)).toBe(damage);
  });

  test('record: headers are found at sectors only, up to the last whole one', () => {
    start();
    seal([commit(7, valueFor(7, 30))]);
    const header = u8.slice(LOG_AREA, LOG_AREA + 64);
    u8.fill(0, LOG_AREA, LOG_AREA + 8192);
    u8.set(header, LOG_AREA + 256);
    u8.set(header, LOG_AREA + 2048);
    u8.set(header, LOG_AREA + 4096);
    expect(x.groupFind(LOG_AREA, 8192)).toBe(2048);
    expect(x.groupFind(LOG_AREA + 2560, 8192)).toBe(1536);
    expect(x.groupFind(LOG_AREA + 2560, 1536 + 64)).toBe(1536);
    expect(x.groupFind(LOG_AREA + 2560, 1536 + 63)).toBe(1536 + 63);
    expect([0, 1, 63].map((length) => x.groupFind(LOG_AREA, length))).toEqual([0, 1, 63]);
  });

  const put: TestRecord = { kind: RECORD_PUT, key, value: valueFor(1, 9) };
  const longPut = (valueLength: number): TestRecord => ({ kind: RECORD_PUT_LONG, key, valueLength });
  const piece = (length: number): TestRecord => ({ kind: RECORD_VALUE, value: valueFor(2, length) });
  const part = (records: readonly TestRecord[], flags = WHOLE, sequence = 5): TestPart => ({
    sequence,
    flags,
    records,
  });

  test.each<[string, TestPart[]]>([
    ['nothing', []],
    ['a commit without records', [part([])]],
    ['puts and deletes', [part([put, { kind: RECORD_DELETE, key }, put])]],
    ['an empty key and an empty value', [part([{ kind: RECORD_PUT }])]],
    ['trees that begin and end', [part([{ kind: RECORD_TREE, key }, put, { kind: RECORD_DROP, key }])]],
    ['the longest name', [part([{ kind: RECORD_TREE, key: new Uint8Array(NAME_SIZE_MAX) }])]],
    ['the longest key', [part([{ kind: RECORD_DELETE, key: new Uint8Array(KEY_SIZE_MAX) }])]],
    ['a long value in pieces', [part([longPut(30), piece(10), piece(20), put])]],
    ['the beginning of a long value', [part([put, longPut(30), piece(10)], PART_FIRST)]],
    [
      'commits one after the other',
      [part([put]), part([put], WHOLE, 6), part([longPut(4), piece(4)], WHOLE, 7)],
    ],
  ])('record: a group with %s is sound', (_name, parts) => {
    start();
    seal(parts);
    expect(x.groupStructureCheck(LOG_AREA)).toBe(DAMAGE_NONE);
    expect(x.groupParts()).toBe(parts.length);
  });

  test.each<[string, TestPart[], number]>([
    ['an unknown kind', [part([{ kind: RECORD_DROP + 1, key }])], DAMAGE_KIND],
    ['a tree without a name', [part([{ kind: RECORD_TREE }])], DAMAGE_SIZE],
    [
      'a name longer than any',
      [part([{ kind: RECORD_DROP, key: new Uint8Array(NAME_SIZE_MAX + 1) }])],
      DAMAGE_SIZE,
    ],
    ['a tree with a value', [part([{ kind: RECORD_TREE, key, valueLength: 1 }])], DAMAGE_SIZE],
    ['a tree inside a long value', [part([longPut(9), { kind: RECORD_TREE, key }])], DAMAGE_OVERFLOW],
    ['kind 0', [part([{ kind: 0, key }])], DAMAGE_KIND],
    [
      'a key longer than any',
      [part([{ kind: RECORD_DELETE, key: new Uint8Array(KEY_SIZE_MAX + 1) }])],
      DAMAGE_SIZE,
    ],
    ['a value longer than any', [part([longPut(0x40000000)])], DAMAGE_SIZE],
    ['a value that ends outside', [part([{ ...put, valueLength: 40 }])], DAMAGE_SIZE],
    ['a delete with a value', [part([{ kind: RECORD_DELETE, key, valueLength: 1 }])], DAMAGE_SIZE],
    ['a piece of no value', [part([piece(4)])], DAMAGE_OVERFLOW],
    ['a long value of nothing', [part([longPut(0)])], DAMAGE_OVERFLOW],
    ['a piece of nothing', [part([longPut(4), piece(0), piece(4)])], DAMAGE_OVERFLOW],
    ['a piece too long', [part([longPut(4), piece(5)])], DAMAGE_OVERFLOW],
    [
      'a piece with a key',
      [part([longPut(9), { kind: RECORD_VALUE, key, value: valueFor(1, 9) }])],
      DAMAGE_OVERFLOW,
    ],
    ['a record inside a long value', [part([longPut(9), put])], DAMAGE_OVERFLOW],
    ['a commit that ends inside a long value', [part([longPut(9), piece(4)])], DAMAGE_OVERFLOW],
    ['sequence 0', [part([put], WHOLE, 0)], DAMAGE_ORDER],
    ['a sequence no number holds', [part([put], WHOLE, 2 ** 53)], DAMAGE_ORDER],
    ['an unknown flag', [part([put], 7)], DAMAGE_KIND],
    ['a gap between commits', [part([put]), part([put], WHOLE, 7)], DAMAGE_ORDER],
    ['a commit and the beginning of another', [part([put]), part([put], PART_FIRST, 6)], DAMAGE_ORDER],
    ['the end of a commit and another', [part([put], PART_LAST), part([put], WHOLE, 6)], DAMAGE_ORDER],
  ])('record: a group with %s is refused', (_name, parts, damage) => {
    start();
    seal(parts);
    expect(x.groupStructureCheck(LOG_AREA)).toBe(damage);
  });

  test.each<[string, number, number, number]>([
    ['a part longer than the payload', 64, 41, DAMAGE_SIZE],
    ['a part of 2^32 - 1 bytes', 64, 0xffffffff, DAMAGE_SIZE],
    ['too many records', 80, 2, DAMAGE_SIZE],
    ['2^32 - 1 records', 80, 0xffffffff, DAMAGE_SIZE],
    ['too few records', 80, 0, DAMAGE_SIZE],
    ['a reserved word', 84, 1, DAMAGE_KIND],
    ['a value of 2^32 - 1 bytes', 96, 0xffffffff, DAMAGE_SIZE],
    ['a reserved byte', 88, 0x00030101, DAMAGE_KIND],
    ['a payload that ends in a part header', 4, 20, DAMAGE_SIZE],
    ['a payload that ends in a record', 4, 40, DAMAGE_SIZE],
  ])('record: a group with %s is refused', (_name, at, value, damage) => {
    start();
    seal([part([put])]);
    view.setUint32(LOG_AREA + at, value, true);
    expect(x.groupStructureCheck(LOG_AREA)).toBe(damage);
  });

  test('record: a long value goes on from group to group, and only from the accepted one', () => {
    start();
    seal([part([longPut(30), piece(10)], PART_FIRST)]);
    const first = u8.slice(LOG_AREA, LOG_AREA + 512);
    const second = LOG_AREA + 4096;
    const groups = [part([piece(20)], PART_LAST), part([piece(21)], PART_LAST), part([put], PART_LAST)];
    const check = (group: TestPart): number => {
      x.groupSeal(second, buildPayload(core, [group], second), 5632, 0);
      return x.groupStructureCheck(second);
    };
    start();
    expect(groups.map(check)).toEqual([DAMAGE_OVERFLOW, DAMAGE_OVERFLOW, DAMAGE_NONE]);
    start();
    u8.set(first, LOG_AREA);
    expect(x.groupStructureCheck(LOG_AREA)).toBe(DAMAGE_NONE);
    x.groupAccept(LOG_AREA);
    expect(groups.map(check)).toEqual([DAMAGE_NONE, DAMAGE_OVERFLOW, DAMAGE_OVERFLOW]);
    expect(check(part([put]))).toBe(DAMAGE_OVERFLOW);
  });

  test('record: a segment header is the bytes the format says, and every field is checked', () => {
    start();
    const address = x.segmentSeal(2 ** 40, 262_144);
    const header = u8.slice(address, address + SEGMENT_HEADER_SIZE);
    expect(Buffer.from(header.subarray(0, 56)).toString('hex')).toBe(
      '4153454701000000' +
        '78563412f0debc9a' +
        '0500000000010000' +
        '0000000000010000' +
        '0000040000000000' +
        '00'.repeat(16),
    );
    expect(header.subarray(64)).toEqual(new Uint8Array(448));
    expect([
      x.segmentCheck(address),
      x.segmentFirstLsn(address),
      x.segmentSize(address),
      x.segmentFence(address),
    ]).toEqual([DAMAGE_NONE, 2 ** 40, 262_144, 2 ** 40 + 5]);
    const changed = (at: number, value: bigint): number => {
      const copy = header.slice(0, 64);
      if (at % 8 === 4) new DataView(copy.buffer).setUint32(at, Number(value), true);
      else new DataView(copy.buffer).setBigUint64(at, value, true);
      copy.set(checksumBytes(core, copy.subarray(0, 56)), 56);
      u8.set(copy, LOG_AREA);
      return x.segmentCheck(LOG_AREA);
    };
    expect(changed(4, 2n)).toBe(DAMAGE_KIND);
    expect(changed(8, 1n)).toBe(DAMAGE_IDENTITY);
    expect([2n ** 53n, 100n].map((lsn) => changed(24, lsn))).toEqual([DAMAGE_ORDER, DAMAGE_ORDER]);
    expect(changed(16, 2n ** 60n)).toBe(DAMAGE_ORDER);
    expect([0n, 512n, 1000n, 0x80000000n].map((size) => changed(32, size))).toEqual(
      Array(4).fill(DAMAGE_SIZE),
    );
    for (let bit = 0; bit < 512; bit += 3) {
      u8.set(header, LOG_AREA);
      u8[LOG_AREA + (bit >> 3)]! ^= 1 << (bit & 7);
      expect(x.segmentCheck(LOG_AREA)).toBe(bit < 32 ? DAMAGE_MAGIC : DAMAGE_CHECKSUM);
    }
  });
});
