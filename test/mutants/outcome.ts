/* What a run of a killer came to, as its process tells it on the last line of its output. */

export interface Outcome {
  /** `broken`: the program itself does not work, so that it says nothing about the engine. */
  readonly result: 'passed' | 'failed' | 'broken';
  /** Tests that passed. */
  readonly tests: number;
  /** The one that did not. */
  readonly test: string;
  readonly message: string;
}

/** How the line begins. */
export const OUTCOME = 'outcome: ';
