/* Keys, values and ranges for the model tests: seeded, and of the kinds that find the seams of a tree of pages. */
import type { Bytes } from '../../src/base/bytes-in.ts';
import type { RangeOptions } from '../../src/store/range.ts';
import { kinds, type Random } from './codec-data.ts';
import { keyBytes, type ModelRange, type StoreModel } from './store-model.ts';

const MATTER_SIZE = 5 * 2 ** 20;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class ModelInput {
  readonly #random: Random;
  readonly #keys: string[];
  readonly #keyMax: number;
  readonly #pageSize: number;
  /** What values are cut from. */
  readonly #matter: Uint8Array[];
  /** Values of megabytes that may still come. */
  #hugeLeft: number;

  constructor(random: Random, pageSize: number, keyCount: number, hugeValues: number) {
    this.#random = random;
    this.#pageSize = pageSize;
    this.#keyMax = pageSize / 8;
    this.#hugeLeft = hugeValues;
    const size = hugeValues > 0 ? MATTER_SIZE : MATTER_SIZE / 8;
    this.#matter = [kinds.random(size, random), kinds.text(size, random), kinds.mixed(size, random)];
    const keys = new Set<string>(['', '\x00', '\xff', '\xff\xff', '\x00'.repeat(this.#keyMax)]);
    keys.add('\xff'.repeat(this.#keyMax));
    while (keys.size < keyCount) keys.add(this.#newKey(keys.size));
    this.#keys = [...keys];
  }

  #newKey(index: number): string {
    const random = this.#random;
    switch (random(12)) {
      case 0:
        return latin(`ключ ${random(5000)} ✓`);
      case 1:
        return Buffer.from(kinds.random(1 + random(20), random)).toString('latin1');
      case 2:
        return `${'\xff'.repeat(random(4))}${String.fromCharCode(random(256))}${'\x00'.repeat(random(4))}`;
      case 3: {
        // As long as a key may be, told apart by its last bytes only, or shorter by a few.
        const tail = `${index}`;
        return 'long/'.padEnd(this.#keyMax - tail.length - random(2) * random(40), 'abcdefgh') + tail;
      }
      case 4:
        return `tree/branch/twig/${random(40)}/leaf/${index}`.padEnd(random(this.#keyMax), '.');
      case 5:
        return `k${index}`;
      default:
        return `user:${String(random(100_000)).padStart(6, '0')}`;
    }
  }

  /** A key: one of few half of the time, so that writers meet. */
  key(): string {
    const random = this.#random;
    const most = random(2) === 0 ? Math.min(this.#keys.length, 40) : this.#keys.length;
    return this.#keys[random(most)] as string;
  }

  /** A key that is or was there, if there is any. */
  present(model: StoreModel): string {
    return model.keyCount === 0 ? this.key() : model.keyAt(this.#random(model.keyCount));
  }

  /** Neighbours in order, for batches that fill or empty pages. */
  run(model: StoreModel, most: number): string[] {
    if (model.keyCount === 0) return [this.key()];
    const first = this.#random(model.keyCount);
    const last = Math.min(model.keyCount, first + 1 + this.#random(most));
    return Array.from({ length: last - first }, (_, i) => model.keyAt(first + i));
  }

  value(): Uint8Array {
    const random = this.#random;
    const kind = random(1000);
    if (kind < 30) return new Uint8Array(0);
    if (kind < 650) return this.#cut(random(120));
    if (kind < 850) return this.#cut(random(Math.min(2000, this.#pageSize / 4)));
    if (kind < 950) return this.#cut(random(this.#pageSize / 2));
    if (kind < 990) return this.#cut(random(Math.min(3 * this.#pageSize, 40_000)));
    if (kind < 998 || this.#hugeLeft === 0) return this.#cut(random(200_000));
    --this.#hugeLeft;
    return this.#cut(500_000 + random(MATTER_SIZE - 600_000));
  }

  #cut(size: number): Uint8Array {
    const matter = this.#matter[this.#random(this.#matter.length)] as Uint8Array;
    const length = Math.min(size, matter.length);
    const at = this.#random(matter.length - length + 1);
    return matter.subarray(at, at + length);
  }

  /** A range with any of the options, most of them small. */
  range(model: StoreModel): ModelRange {
    const random = this.#random;
    const range: ModelRange = {};
    const shape = random(10);
    if (shape < 5) {
      // A short stretch, or an empty one, between neighbours.
      const keys = this.run(model, 30);
      const ends = [this.near(keys[0] as string), this.near(keys[keys.length - 1] as string)];
      if (random(12) === 0) ends.reverse();
      this.#bound(range, true, ends[0] as string);
      this.#bound(range, false, ends[1] as string);
    } else if (shape < 8) {
      if (random(3) === 0) this.#bound(range, true, this.near(this.present(model)));
      if (random(3) === 0) this.#bound(range, false, this.near(this.present(model)));
    }
    if (shape === 8 || random(8) === 0) {
      const key = random(6) === 0 ? '\xff\xff' : this.present(model);
      range.prefix = key.slice(
        0,
        random(2) === 0 ? random(key.length + 1) : Math.max(0, key.length - random(3)),
      );
    }
    if (random(10) === 0) this.#bound(range, true, this.near(this.present(model)));
    if (random(10) === 0) this.#bound(range, false, this.near(this.present(model)));
    if (random(3) === 0) range.reverse = random(5) > 0;
    const wide = shape >= 5;
    if (random(wide ? 10 : 3) > 0 === wide) range.limit = random(20);
    else if (random(10) === 0) range.limit = random(2) === 0 ? 0 : Number.POSITIVE_INFINITY;
    return range;
  }

  #bound(range: ModelRange, lower: boolean, key: string): void {
    const inclusive = this.#random(2) === 0;
    if (lower) range[inclusive ? 'gte' : 'gt'] = key;
    else range[inclusive ? 'lte' : 'lt'] = key;
  }

  /** A key, or one just beside it. */
  near(key: string): string {
    const random = this.#random;
    switch (random(6)) {
      case 0:
        return key.length < this.#keyMax ? `${key}\x00` : key;
      case 1:
        return key.slice(0, -1);
      case 2:
        return this.key();
      default:
        return key;
    }
  }

  /** A key as a caller may give it: bytes, or text when it is the UTF-8 of one. */
  given(key: string): Bytes {
    const bytes = keyBytes(key);
    if (this.#random(3) > 0) return bytes;
    try {
      return decoder.decode(bytes);
    } catch {
      return bytes;
    }
  }

  /** A range as a caller may give it. */
  givenRange({ gt, gte, lt, lte, prefix, ...rest }: ModelRange): RangeOptions {
    return {
      ...rest,
      ...(gt === undefined ? {} : { gt: this.given(gt) }),
      ...(gte === undefined ? {} : { gte: this.given(gte) }),
      ...(lt === undefined ? {} : { lt: this.given(lt) }),
      ...(lte === undefined ? {} : { lte: this.given(lte) }),
      ...(prefix === undefined ? {} : { prefix: this.given(prefix) }),
    };
  }
}

/** The UTF-8 of a text as a model key. */
function latin(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}
