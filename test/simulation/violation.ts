/* A promise that the store broke. */

/** Names the seed and how to repeat the run, once it has left `simulate`. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

/** An error in words, with its cause. */
export function inWords(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as { code?: unknown };
  return `${error.name}${typeof code === 'string' ? ` ${code}` : ''}: ${error.message}`;
}
