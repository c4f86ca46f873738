/** What the counters of the instrumented core count, and where the build and its counts lie. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '../..');
export const folder = join(root, 'build/counted');

/** Module of the imports that are counters; counter n is called `c<n>`. */
export const COUNTERS = 'coverage';

export type Kind = 'function' | 'then' | 'else' | 'no else' | 'right side' | 'loop' | 'after';

/** What one counter counts. */
export interface Block {
  readonly file: string;
  readonly line: number;
  readonly kind: Kind;
  readonly function: string;
  /** Text of the line. */
  readonly text: string;
}

/** The blocks of the last build, in the order of their counters. */
export function readBlocks(): readonly Block[] {
  return JSON.parse(readFileSync(join(folder, 'blocks.json'), 'utf8')) as readonly Block[];
}

/** Numbers of the blocks that ran since. */
export function readRan(): ReadonlySet<number> {
  const lines = readFileSync(join(folder, 'ran.txt'), 'utf8').trim().split('\n');
  return new Set(lines.flatMap((line) => line.split(' ').slice(1).map(Number)));
}
