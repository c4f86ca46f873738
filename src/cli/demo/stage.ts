/**
 * What the acts of the demo share: the screen, the data, the place of the store, and the list of what was proved.
 */
import type { Interrupts } from '../interrupts.ts';
import type { Screen } from '../screen.ts';
import type { Cities } from './cities.ts';

/** What an act of the demo is given. */
export interface Stage {
  readonly screen: Screen;
  readonly proofs: Proofs;
  readonly interrupts: Interrupts;
  readonly cities: Cities;
  readonly directory: string;
}

/** Claims and whether they held. The demo succeeds when every one did. */
export class Proofs {
  readonly #screen: Pick<Screen, 'verdict'>;
  readonly #failed: string[] = [];
  #count = 0;

  constructor(screen: Pick<Screen, 'verdict'>) {
    this.#screen = screen;
  }

  /** How many claims were checked. */
  get count(): number {
    return this.#count;
  }

  /** Whether none failed. */
  get allHeld(): boolean {
    return this.#failed.length === 0;
  }

  /** The claims that did not hold, with what was found instead. */
  get failed(): readonly string[] {
    return this.#failed;
  }

  /** Shows a claim and whether it held; `found` says what there was instead. */
  check(held: boolean, claim: string, found: string): void {
    ++this.#count;
    if (!held) this.#failed.push(`${claim} (found: ${found})`);
    this.#screen.verdict(held, held ? claim : `${claim}: no, ${found}`);
  }
}
