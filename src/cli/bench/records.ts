/**
 * Records to measure with: keys of 16 bytes in an order that the seed alone decides, values of 100 bytes of which about
 * half can be compressed away, as in many real records.
 */
const VALUE_SIZE = 100;
const LETTERS = 'etaoinshrdlucmfw';

/** Random whole numbers below 2^32 from a seed (mulberry32). */
export function numbersFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

/** A record to write. */
export interface BenchRecord {
  readonly key: string;
  readonly value: Uint8Array;
}

/** So many records, each key once. */
export function recordsFrom(seed: number, count: number): BenchRecord[] {
  const next = numbersFrom(seed);
  const places = Array.from({ length: count }, (_, at) => at);
  for (let at = count - 1; at > 0; --at) {
    const other = next() % (at + 1);
    [places[at], places[other]] = [places[other] as number, places[at] as number];
  }
  return places.map((place) => ({ key: `key-${String(place).padStart(12, '0')}`, value: valueFrom(next) }));
}

function valueFrom(next: () => number): Uint8Array {
  const value = new Uint8Array(VALUE_SIZE);
  for (let at = 0; at < VALUE_SIZE; ++at) value[at] = LETTERS.charCodeAt(next() % LETTERS.length);
  return value;
}
