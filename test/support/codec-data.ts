/* Bytes to compress, hash and damage: seeded, and of the kinds that a store's pages hold. */

/** Whole numbers below `limit`, the same ones for the same seed (mulberry32). */
export type Random = (limit: number) => number;

export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return Math.floor((((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}

const words = 'river mountain paper orange quick silver window garden people engine storage record'.split(
  ' ',
);

export const kinds = {
  zero: (size: number) => new Uint8Array(size),
  random: (size: number, random: Random) => Uint8Array.from({ length: size }, () => random(256)),
  text: (size: number, random: Random) => {
    let text = '';
    while (text.length < size) text += `${words[random(words.length)]}${random(9) === 0 ? '.\n' : ' '}`;
    return new TextEncoder().encode(text.slice(0, size));
  },
  documents: (size: number, random: Random) => {
    let text = '';
    for (let id = random(1e6); text.length < size; id++) {
      const tags = [words[random(words.length)], words[random(words.length)]];
      text += JSON.stringify({
        id,
        balance: random(1e6) / 100,
        active: random(2) === 1,
        tags,
        key: random(2 ** 32),
      });
    }
    return new TextEncoder().encode(text.slice(0, size));
  },
  /** Compressible and incompressible stretches in turn, so that literals and matches of every length occur. */
  mixed: (size: number, random: Random) => {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; ) {
      const end = Math.min(size, at + 1 + random(random(4) === 0 ? 600 : 40));
      const distance = 1 + random(Math.min(at, random(2) === 0 ? 12 : 70000));
      const fresh = at === 0 || random(2) === 0;
      for (; at < end; at++) bytes[at] = fresh ? random(256) : bytes[at - distance]!;
    }
    return bytes;
  },
};

export type Kind = keyof typeof kinds;
export const kindNames = Object.keys(kinds) as Kind[];

/** `size` bytes that repeat after `period`. */
export function periodic(size: number, period: number, random: Random): Uint8Array {
  const pattern = kinds.random(period, random);
  return Uint8Array.from({ length: size }, (_, index) => pattern[index % period]!);
}
