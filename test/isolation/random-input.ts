/* What a random history writes and asks for. Keys of lists begin with `l/`, keys of other values with `r/`. */
import type { Random } from '../support/codec-data.ts';
import type { HistoryRange } from './history.ts';
import type { Settings } from './settings.ts';

/** A value this long lives on pages of its own. */
const LONG_VALUE = 1500;

export class RandomInput {
  readonly #settings: Settings;
  readonly #random: Random;
  /** Keys that are used more than the others. */
  readonly #hot = new Map<readonly string[], readonly string[]>();
  #lastValue = 0;

  constructor(settings: Settings, random: Random) {
    this.#settings = settings;
    this.#random = random;
    for (const keys of [settings.listKeys, settings.registerKeys]) {
      this.#hot.set(
        keys,
        [0, 1, 2].map(() => keys[random(keys.length)] as string),
      );
    }
  }

  /** What the store is filled with at first: most of the keys that hold no list. */
  filling(): [key: string, value: string][] {
    return this.#settings.registerKeys.filter(() => this.#random(4) > 0).map((key) => [key, this.value()]);
  }

  #chosen(keys: readonly string[]): string {
    const random = this.#random;
    const from = (random(3) === 0 && this.#hot.get(keys)) || keys;
    return from[random(from.length)] as string;
  }

  listKey(): string {
    return this.#chosen(this.#settings.listKeys);
  }

  registerKey(): string {
    return this.#chosen(this.#settings.registerKeys);
  }

  anyKey(): string {
    return this.#random(2) === 0 ? this.listKey() : this.registerKey();
  }

  appended(before: string | undefined): string {
    const element = ++this.#lastValue;
    return before ? `${before},${element}` : String(element);
  }

  /** A value nobody else writes; now and then a long one, or nothing at all. */
  value(): string {
    const kind = this.#random(40);
    if (kind === 0) return '';
    return `${++this.#lastValue}:${kind === 1 ? '.'.repeat(LONG_VALUE + this.#random(8000)) : ''}`;
  }

  range(): HistoryRange {
    const random = this.#random;
    const shape: { -readonly [name in keyof HistoryRange]: HistoryRange[name] } = {};
    const kind = random(6);
    if (kind < 2) shape.prefix = random(2) === 0 ? 'l/' : 'r/';
    else if (kind < 5) {
      const [one, other] = [this.anyKey(), this.anyKey()];
      const [low, high] = one < other ? [one, other] : [other, one];
      if (random(2) === 0) shape.gte = low;
      else shape.gt = low;
      if (random(2) === 0) shape.lte = high;
      else shape.lt = high;
    }
    if (random(2) === 0) shape.reverse = true;
    if (random(2) === 0) shape.limit = random(7);
    return shape;
  }
}
