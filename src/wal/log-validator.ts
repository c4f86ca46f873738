/**
 * The log validator checks that each group may follow the one before: whole commits and parts of long ones, in the order
 * of their sequences. It sees only groups whose checksums hold, so anything wrong is damage that no writer of this
 * store can have made.
 *
 * Sequences of the checkpoint may come again; from there on they go up by one.
 */
import { DAMAGE_NONE, PART_FIRST, PART_LAST } from '../../assembly/layout.ts';
import type { LogCore } from './log.ts';

/** Checks groups, one after the other. */
export class LogValidator {
  readonly #core: LogCore;
  /** Last commit of the checkpoint. */
  readonly #checkpointed: number;
  #sequence: number;
  #open: number | undefined;

  constructor(core: LogCore, checkpointed: number) {
    this.#core = core;
    this.#checkpointed = checkpointed;
    this.#sequence = checkpointed;
  }

  /** Last commit that was met, or the checkpoint's. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Sequence of a commit of which not all parts have come. */
  get open(): number | undefined {
    return this.#open;
  }

  /** Takes in the next group; answers what is wrong with it, or nothing. */
  refusal(address: number): string | undefined {
    const { x } = this.#core;
    const damage = x.groupStructureCheck(address);
    if (damage !== DAMAGE_NONE) return `is whole, but no writer makes such records (damage ${damage})`;
    if (x.groupParts() === 0) {
      return this.#open === undefined ? undefined : 'stands in the middle of a commit';
    }
    const first = x.groupFirstSequence();
    const last = x.groupLastSequence();
    if ((x.groupFlags() & PART_FIRST) === 0) {
      if (first !== this.#open) return `goes on with commit ${first}, which is not the one before it`;
    } else {
      if (this.#open !== undefined) return `begins commit ${first} inside commit ${this.#open}`;
      const again = this.#sequence === this.#checkpointed && first <= this.#sequence;
      if (!again && first !== this.#sequence + 1) return `holds commit ${first} after ${this.#sequence}`;
      this.#sequence = Math.max(this.#sequence, last);
    }
    this.#open = (x.groupFlags() & PART_LAST) === 0 ? last : undefined;
    return undefined;
  }
}
