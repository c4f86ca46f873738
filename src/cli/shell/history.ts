/**
 * The lines of earlier shells, newest first, in a file of the user's own. Where it cannot be kept, nothing is: a shell
 * works without.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Surroundings } from '../surroundings.ts';

const LINES_MAX = 1000;

export class History {
  readonly #file: string | undefined;

  constructor({ XDG_STATE_HOME: state, HOME: home }: Surroundings['environment']) {
    const folder = state || (home ? join(home, '.local', 'state') : undefined);
    this.#file = folder === undefined ? undefined : join(folder, 'aegis', 'history');
  }

  read(): string[] {
    if (this.#file === undefined) return [];
    try {
      return readFileSync(this.#file, 'utf8').split('\n').filter(Boolean).slice(0, LINES_MAX);
    } catch {
      return [];
    }
  }

  /** Keeps lines for the next shell. They may hold what nobody else should read. */
  keep(lines: readonly string[]): void {
    if (this.#file === undefined) return;
    try {
      mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 });
      writeFileSync(this.#file, `${lines.slice(0, LINES_MAX).join('\n')}\n`, { mode: 0o600 });
    } catch {
      // A read-only home, a full disk: no reason to trouble whoever leaves.
    }
  }
}
