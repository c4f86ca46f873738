/*
 * A mutant: the engine with one protection taken out of its source text while it is bundled, so that no flag for tests
 * is in the engine itself. And a killer: the test that must find out, run with and without the mutation.
 */

/** A test that must notice. */
export interface Killer {
  /** Test file, below `test/`. */
  readonly file: string;
  /** Which of its tests: a pattern for the full name. */
  readonly test: RegExp;
  /** Environment of the process: sizes and settings of the test. */
  readonly env?: Readonly<Record<string, string>>;
}

/** One text that is there exactly once, and what stands there instead. */
export type Edit = readonly [find: string, replace: string];

export interface Mutant {
  /** Begins with the number of the rule in the store's rules, where it has one. */
  readonly name: string;
  /** Source file, below the root. */
  readonly file: string;
  readonly edits: readonly Edit[];
  readonly killer: Killer;
}

/** The source with the protection removed. Throws when a text is not there exactly once: the source has moved on. */
export function mutated(
  { name, file, edits }: Pick<Mutant, 'name' | 'file' | 'edits'>,
  source: string,
): string {
  let text = source;
  for (const [find, replace] of edits) {
    const pieces = text.split(find);
    if (pieces.length !== 2) {
      throw new Error(
        `mutant "${name}": ${file} has its text ${pieces.length - 1} times, not once:\n${find}`,
      );
    }
    text = pieces.join(replace);
  }
  return text;
}
