/*
 * The LZ4 block format, both ways, on buffers that lie in the core's own memory: no copy in, no copy out. A block is
 * a row of sequences: token (literal count, match length), literals, 2-byte offset back into the output, match; the
 * last sequence ends after its literals. No frame, no sizes, no checksum: the block header around it has those.
 *
 * Owns LZ4_TABLE_AREA, and that only while lz4Compress() runs: a hash table of u16 positions in the source, which is
 * why a source has 64 KiB at the most.
 *
 * 1. Compression depends on the source bytes only: the table is cleared by every call, so equal pages give equal
 *    blocks in every store, run and build.
 * 2. Compression reads nothing outside the source and writes nothing outside the target's capacity; the bytes of the
 *    target behind the block are unspecified.
 * 3. Compressed blocks keep the format's end rules (the last 5 bytes are literals, no match starts within the last
 *    12), which other decoders rely on.
 * 4. Decompression trusts no byte of the source. It reads the source, reads and writes the target, and touches nothing
 *    else, whatever the source says; it says true only when the source was used up and the target filled, both
 *    exactly. When it says false, the target holds rubbish that must not be published.
 * 5. Wide copies write more than asked for, and so are made only where their whole width remains in both buffers.
 * 6. Ends are compared as distances (`end - at`), because a buffer may end at the very top of a 4 GiB memory.
 *
 * The decoder does not insist on 3: a block without the margins decodes to the same bytes everywhere.
 */
import { LZ4_TABLE_AREA, LZ4_TABLE_SIZE } from '../layout';

const SOURCE_SIZE_MAX: u32 = 65536; // bytes; as many positions as a u16 can say
const MATCH_MIN: usize = 4; // bytes; the length a match nibble of 0 stands for
const NIBBLE_MAX: usize = 15; // a length nibble of 15 is continued in length bytes
const LENGTH_BYTE_MAX: usize = 255; // a length byte of 255 is continued in the next
const LAST_LITERALS: usize = 5; // bytes at the end of a block that no match covers
const MATCH_START_MARGIN: usize = 12; // bytes from the last place where a match may start to the end
const OFFSET_SIZE: usize = 2; // bytes
const SKIP_SHIFT: u32 = 6; // the search steps one byte further after each 64 misses
const SHORT_LITERALS_WIDTH: usize = 16; // bytes; copied whole for up to 14 literals, and the offset behind them is there
const SHORT_MATCH_WIDTH: usize = 24; // bytes; copied whole for a match of up to 18
const BULK_SIZE: usize = 128; // bytes; from here on one memory.copy beats a loop of words

function insideMemory(address: usize, length: u32): bool {
  return (address as u64) + length <= (memory.size() as u64) << 16;
}

function apart(first: usize, firstLength: u32, second: usize, secondLength: u32): bool {
  return (first as u64) + firstLength <= second || (second as u64) + secondLength <= first;
}

/** Copies literals; `sourceSlack` bytes behind them may be read and `targetSlack` bytes behind the copy spoilt. */
function copyLiterals(
  source: usize,
  target: usize,
  length: usize,
  sourceSlack: usize,
  targetSlack: usize,
): void {
  if (length >= BULK_SIZE || sourceSlack < 8 || targetSlack < 8) {
    memory.copy(target, source, length);
    return;
  }
  for (let done: usize = 0; done < length; done += 8) store<u64>(target + done, load<u64>(source + done));
}

// --- compression --------------------------------------------------------------------------------------------

/**
 * Few entries for small sources: clearing the table is part of every call, and a larger one finds hardly more.
 * 2 K entries up to 4 KiB, 4 K up to 16 KiB, 8 K above.
 */
function tableBits(sourceLength: u32): u32 {
  return sourceLength <= 4096 ? 11 : sourceLength <= 16384 ? 12 : 13;
}

/**
 * The table entry for the first five bytes of `word`; the multiplier is the one of the reference implementation. Four
 * bytes would do, but hashing five keeps out most of the matches too short to be worth a sequence: about a fifth
 * faster, and smaller for documents and keys, if a little larger for prose.
 */
function tableSlot(word: u64, shift: u64): usize {
  return (LZ4_TABLE_AREA as usize) + (((((word << 24) * 889523592379) >> shift) as usize) << 1);
}

/** How many length bytes continue a nibble for a length of `length` (with MATCH_MIN taken off, for a match). */
function lengthBytes(length: usize): usize {
  return length < NIBBLE_MAX ? 0 : (length - NIBBLE_MAX) / LENGTH_BYTE_MAX + 1;
}

/** Writes the length bytes, if `length` needs any; returns the address behind them. */
function writeLength(target: usize, length: usize): usize {
  if (length < NIBBLE_MAX) return target;
  length -= NIBBLE_MAX;
  for (; length >= LENGTH_BYTE_MAX; length -= LENGTH_BYTE_MAX, target++) store<u8>(target, LENGTH_BYTE_MAX);
  store<u8>(target, length);
  return target + 1;
}

/** The address of the first byte from `at` on that differs from its counterpart at `match`, or `limit`. */
function matchEnd(at: usize, match: usize, limit: usize): usize {
  assert(match < at, 'a match lies before the bytes it repeats');
  while (limit - at >= 8) {
    const difference = load<u64>(at) ^ load<u64>(match);
    if (difference != 0) return at + ((ctz<u64>(difference) >> 3) as usize);
    at += 8;
    match += 8;
  }
  while (at != limit && load<u8>(at) == load<u8>(match)) {
    at++;
    match++;
  }
  return at;
}

/** Ends the block with `length` literals; returns the size of the whole block, 0 when `capacity` is too small. */
function endBlock(literals: usize, length: usize, target: usize, output: usize, capacity: usize): u32 {
  if (1 + lengthBytes(length) + length > capacity) return 0;
  store<u8>(output, min(length, NIBBLE_MAX) << 4);
  output = writeLength(output + 1, length);
  memory.copy(output, literals, length);
  return (output + length - target) as u32;
}

/**
 * Writes one sequence with a match; `extra` is the match length above MATCH_MIN. Returns the address behind it, 0
 * when it has no space. (Behind every sequence comes another, so one that fills the target does not fit either.)
 */
function writeSequence(
  output: usize,
  targetEnd: usize,
  literals: usize,
  length: usize,
  offset: usize,
  extra: usize,
): usize {
  assert(offset > 0 && offset < SOURCE_SIZE_MAX, 'an offset is positive and fits its two bytes');
  const capacity = targetEnd - output;
  if (1 + lengthBytes(length) + length + OFFSET_SIZE + lengthBytes(extra) >= capacity) return 0;
  store<u8>(output, (min(length, NIBBLE_MAX) << 4) | min(extra, NIBBLE_MAX));
  output = writeLength(output + 1, length);
  copyLiterals(literals, output, length, MATCH_START_MARGIN, targetEnd - output - length);
  output += length;
  store<u16>(output, offset);
  return writeLength(output + OFFSET_SIZE, extra);
}

/**
 * Compresses `sourceLength` bytes (64 KiB at the most) into one LZ4 block. Returns the size of the block, 0 when it
 * has no space in `targetCapacity` bytes; an empty source makes a block of one byte.
 */
export function lz4Compress(source: usize, sourceLength: u32, target: usize, targetCapacity: u32): u32 {
  assert(sourceLength <= SOURCE_SIZE_MAX, 'a source has no more bytes than the table has positions');
  assert(insideMemory(source, sourceLength), 'a source lies inside the memory');
  assert(insideMemory(target, targetCapacity), 'a target lies inside the memory');
  assert(apart(source, sourceLength, target, targetCapacity), 'source and target share no byte');
  assert(apart(source, sourceLength, LZ4_TABLE_AREA, LZ4_TABLE_SIZE), 'a source lies outside the table');
  assert(apart(target, targetCapacity, LZ4_TABLE_AREA, LZ4_TABLE_SIZE), 'a target lies outside the table');
  if (sourceLength <= (MATCH_START_MARGIN as u32))
    return endBlock(source, sourceLength, target, target, targetCapacity);

  const shift: u64 = 64 - tableBits(sourceLength);
  memory.fill(LZ4_TABLE_AREA, 0, 2 << tableBits(sourceLength));
  const sourceEnd = source + sourceLength;
  const matchStartLast = sourceEnd - MATCH_START_MARGIN;
  const matchEndLast = sourceEnd - LAST_LITERALS;
  const targetEnd = target + targetCapacity;
  let output = target;
  let literals = source; // start of the bytes not yet written
  let at = source + 1; // a cleared table says that every sequence was seen at position 0, so 0 is never looked up
  while (true) {
    let misses: u32 = 1 << SKIP_SHIFT;
    let word = load<u64>(at);
    let slot = tableSlot(word, shift);
    let match = source + load<u16>(slot);
    store<u16>(slot, at - source);
    while (load<u32>(match) != (word as u32)) {
      const step: usize = misses >> SKIP_SHIFT;
      misses++;
      if (matchStartLast - at < step)
        return endBlock(literals, sourceEnd - literals, target, output, targetEnd - output);
      at += step;
      word = load<u64>(at);
      slot = tableSlot(word, shift);
      match = source + load<u16>(slot);
      store<u16>(slot, at - source);
    }
    const end = matchEnd(at + MATCH_MIN, match + MATCH_MIN, matchEndLast);
    while (at != literals && match != source && load<u8>(at - 1) == load<u8>(match - 1)) {
      at--;
      match--;
    }
    if (isDefined(ENGINE_DEBUG))
      assert(matchEndLast - end <= matchEndLast - at, 'a match ends before the last literals');
    output = writeSequence(output, targetEnd, literals, at - literals, at - match, end - at - MATCH_MIN);
    if (output == 0) return 0;
    literals = end;
    at = end;
    if (at > matchStartLast)
      return endBlock(literals, sourceEnd - literals, target, output, targetEnd - output);
    store<u16>(tableSlot(load<u64>(at - 2), shift), at - 2 - source);
  }
}

// --- decompression ------------------------------------------------------------------------------------------

/** The address of the byte that ends a run of length bytes: the first that is not 255; `end` when there is none. */
function lengthRunLast(at: usize, end: usize): usize {
  while (at != end && load<u8>(at) == LENGTH_BYTE_MAX) at++;
  return at;
}

/** The length that a nibble of 15 and the length bytes from `first` to `last` say; 64 bits, so it cannot wrap. */
function runLength(first: usize, last: usize): u64 {
  assert(first <= last, 'a run of length bytes ends after it begins');
  return ((last - first) as u64) * LENGTH_BYTE_MAX + load<u8>(last) + NIBBLE_MAX;
}

/** Copies a match of `length` bytes to `output` from `offset` bytes before; `slack` bytes behind it may be spoilt. */
function copyMatch(output: usize, offset: usize, length: usize, slack: usize): void {
  assert(offset > 0, 'a match lies before its copy');
  if (length >= BULK_SIZE) {
    if (offset == 1) {
      memory.fill(output, load<u8>(output - 1), length);
      return;
    }
    if (offset >= length) {
      memory.copy(output, output - offset, length);
      return;
    }
  }
  const end = output + length;
  let distance = offset;
  if (offset < 8) {
    // A word-wide copy needs a distance of 8 or more. After the first eight bytes the match also repeats at the
    // smallest multiple of its offset that is 8 or more. The constant holds these multiples: a hexadecimal digit for
    // each offset, the last digit for offset 0.
    const head = output + min(length, 8);
    for (; output != head; output++) store<u8>(output, load<u8>(output - offset));
    distance = ((0xeca89880 as usize) >> ((offset as u32) << 2)) & 15;
  }
  for (; end - output >= 8; output += 8) store<u64>(output, load<u64>(output - distance));
  if (output == end) return;
  if (slack >= 8) store<u64>(output, load<u64>(output - distance));
  else for (; output != end; output++) store<u8>(output, load<u8>(output - distance));
}

/**
 * Decompresses one LZ4 block. True only when the block is `sourceLength` bytes long and holds exactly `targetLength`
 * bytes; otherwise the block is damaged and the target's bytes are worth nothing.
 */
export function lz4Decompress(source: usize, sourceLength: u32, target: usize, targetLength: u32): bool {
  assert(insideMemory(source, sourceLength), 'a source lies inside the memory');
  assert(insideMemory(target, targetLength), 'a target lies inside the memory');
  assert(apart(source, sourceLength, target, targetLength), 'source and target share no byte');
  const sourceEnd = source + sourceLength;
  const targetEnd = target + targetLength;
  let input = source;
  let output = target;
  while (input != sourceEnd) {
    if (isDefined(ENGINE_DEBUG))
      assert(output - target <= targetLength, 'the output stays inside the target');
    const token = load<u8>(input) as usize;
    input++;
    let length = token >> 4;
    if (
      length < NIBBLE_MAX &&
      sourceEnd - input >= SHORT_LITERALS_WIDTH &&
      targetEnd - output >= SHORT_LITERALS_WIDTH
    ) {
      store<u64>(output, load<u64>(input));
      store<u64>(output, load<u64>(input, 8), 8);
      input += length;
      output += length;
    } else {
      if (length == NIBBLE_MAX) {
        const last = lengthRunLast(input, sourceEnd);
        if (last == sourceEnd) return false;
        const long = runLength(input, last);
        if (long > ((targetEnd - output) as u64)) return false;
        length = long as usize;
        input = last + 1;
      }
      if (length > sourceEnd - input || length > targetEnd - output) return false;
      copyLiterals(input, output, length, sourceEnd - input - length, targetEnd - output - length);
      input += length;
      output += length;
      if (input == sourceEnd) return output == targetEnd;
      if (sourceEnd - input < OFFSET_SIZE) return false;
    }

    const offset = load<u16>(input) as usize;
    input += OFFSET_SIZE;
    if (offset == 0 || offset > output - target) return false;
    length = token & NIBBLE_MAX;
    if (length < NIBBLE_MAX && offset >= 8 && targetEnd - output >= SHORT_MATCH_WIDTH) {
      store<u64>(output, load<u64>(output - offset));
      store<u64>(output, load<u64>(output - offset, 8), 8);
      store<u64>(output, load<u64>(output - offset, 16), 16);
      output += length + MATCH_MIN;
      continue;
    }
    if (length == NIBBLE_MAX) {
      const last = lengthRunLast(input, sourceEnd);
      if (last == sourceEnd) return false;
      const long = runLength(input, last);
      if (long > ((targetEnd - output) as u64)) return false;
      length = long as usize;
      input = last + 1;
    }
    length += MATCH_MIN;
    if (length > targetEnd - output) return false;
    copyMatch(output, offset, length, targetEnd - output - length);
    output += length;
  }
  return false;
}
