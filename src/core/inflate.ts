/**
 * Undoes DEFLATE (RFC 1951). In bundles for browsers the core's module is compressed: as text it is two fifths of what
 * it would be, and what browsers offer for the purpose does not answer at once.
 *
 * It is given nothing but what the build has compressed, and looks for no damage.
 */
import type { OwnBytes } from '../base/lib-types.ts';

const STORED = 0;
const FIXED = 1;
const BLOCK_END = 256;
const BITS_MAX = 15;
const LENGTH_MIN = 3;
const LENGTH_MAX = 258;
/** Symbol of the largest length, which has no further bits. */
const LENGTH_LAST = 28;
/** In what order a block names the lengths of the codes that its lengths are written in. */
const LENGTHS_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const REPEAT_LAST = 16;
const REPEAT_ZERO = 17;

/** How many codes have each number of bits, and what they stand for in the order of the codes. */
interface Codes {
  readonly counts: readonly number[];
  readonly symbols: readonly number[];
}

function codesOf(lengths: readonly number[]): Codes {
  const byBits = Array.from({ length: BITS_MAX + 1 }, (_, bits) =>
    lengths.flatMap((length, symbol) => (length === bits && bits > 0 ? [symbol] : [])),
  );
  return { counts: byBits.map((symbols) => symbols.length), symbols: byBits.flat() };
}

class Reader {
  readonly #source: Uint8Array;
  #at = 0;
  /** Bits that were taken from the source and not read yet, the next one lowest. */
  #bits = 0;
  #count = 0;

  constructor(source: Uint8Array) {
    this.#source = source;
  }

  /** A number of so many bits, the lowest first. */
  number(count: number): number {
    for (; this.#count < count; this.#count += 8) this.#bits |= this.#source[this.#at++]! << this.#count;
    const value = this.#bits & (2 ** count - 1);
    this.#bits >>>= count;
    this.#count -= count;
    return value;
  }

  /** What the next code stands for. */
  symbol({ counts, symbols }: Codes): number {
    let [code, first, index] = [0, 0, 0];
    for (let bits = 1; bits <= BITS_MAX; bits++) {
      if (this.#count === 0) {
        this.#bits = this.#source[this.#at++]!;
        this.#count = 8;
      }
      code = code * 2 + (this.#bits & 1);
      this.#bits >>>= 1;
      this.#count--;
      const count = counts[bits]!;
      if (code < first + count) return symbols[index + code - first]!;
      index += count;
      first = (first + count) * 2;
    }
    return BLOCK_END;
  }

  /** A step of which every `perBits` have one further bit more than those before; the first ones have none. */
  step(index: number, perBits: number): number {
    const bits = Math.max(0, Math.floor(index / perBits) - 1);
    return (bits > 0 ? (perBits + (index % perBits)) * 2 ** bits : index) + this.number(bits);
  }

  /** Bytes that begin at the next whole one. */
  bytes(): Uint8Array {
    this.number(this.#count);
    const size = this.number(16);
    this.number(16); // the complement of the size
    this.#at += size;
    return this.#source.subarray(this.#at - size, this.#at);
  }

  /** The codes of literals and lengths, and those of distances. */
  codes(): [literals: Codes, distances: Codes] {
    const literals = this.number(5) + 257;
    const distances = this.number(5) + 1;
    const own = LENGTHS_ORDER.map(() => 0);
    const named = this.number(4) + 4;
    for (const symbol of LENGTHS_ORDER.slice(0, named)) own[symbol] = this.number(3);
    const codes = codesOf(own);
    const lengths: number[] = [];
    while (lengths.length < literals + distances) {
      const symbol = this.symbol(codes);
      if (symbol < REPEAT_LAST) lengths.push(symbol);
      else if (symbol === REPEAT_LAST) lengths.push(...Array(this.number(2) + 3).fill(lengths.at(-1)));
      else lengths.push(...Array(symbol === REPEAT_ZERO ? this.number(3) + 3 : this.number(7) + 11).fill(0));
    }
    return [codesOf(lengths.slice(0, literals)), codesOf(lengths.slice(literals))];
  }
}

function fixedCodes(): [literals: Codes, distances: Codes] {
  const literals = Array.from({ length: 288 }, (_, symbol) => {
    if (symbol < 144) return 8;
    if (symbol < 256) return 9;
    return symbol < 280 ? 7 : 8;
  });
  return [codesOf(literals), codesOf(Array<number>(30).fill(5))];
}

/** The bytes that were compressed, of which there are so many. */
export function inflate(source: Uint8Array, size: number): OwnBytes {
  const target = new Uint8Array(size);
  const reader = new Reader(source);
  let at = 0;
  for (let isLast = false; !isLast; ) {
    isLast = reader.number(1) === 1;
    const kind = reader.number(2);
    if (kind === STORED) {
      const bytes = reader.bytes();
      target.set(bytes, at);
      at += bytes.length;
      continue;
    }
    const [literals, distances] = kind === FIXED ? fixedCodes() : reader.codes();
    for (let symbol = reader.symbol(literals); symbol !== BLOCK_END; symbol = reader.symbol(literals)) {
      if (symbol < BLOCK_END) {
        target[at++] = symbol;
        continue;
      }
      const index = symbol - BLOCK_END - 1;
      const length = index === LENGTH_LAST ? LENGTH_MAX : LENGTH_MIN + reader.step(index, 4);
      const distance = 1 + reader.step(reader.symbol(distances), 2);
      for (const end = at + length; at < end; at++) target[at] = target[at - distance]!;
    }
  }
  return target;
}
