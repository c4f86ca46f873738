/* A program that takes and releases locks of local stores on command; see test/support/programs.ts. */
import { createInterface } from 'node:readline';
import type { Lock } from '../../src/backend/backend.ts';
import { LocalBackend } from '../../src/backend/local.ts';
import { AegisError } from '../../src/base/errors.ts';

export interface LockOutcome {
  locked: boolean;
  code?: string;
  pid?: number;
  message?: string;
  /** How long it took, in milliseconds. */
  took: number;
}

let lock: Lock | undefined;

const commands = {
  /** Takes a lock, not before a moment given in milliseconds since 1970. */
  async lock(directory: string, mode: 'exclusive' | 'shared', notBefore = 0): Promise<LockOutcome> {
    const backend = new LocalBackend(directory);
    while (Date.now() < notBefore) await new Promise((resolve) => setTimeout(resolve, 0));
    const begin = performance.now();
    try {
      lock = await backend.lock(mode);
      return { locked: true, took: performance.now() - begin };
    } catch (error) {
      const took = performance.now() - begin;
      if (!(error instanceof AegisError)) return { locked: false, message: String(error), took };
      const { code, message, pid } = error;
      return { locked: false, code, message, took, ...(pid === undefined ? {} : { pid }) };
    }
  },

  async release(): Promise<string> {
    await lock?.release();
    lock = undefined;
    return 'released';
  },

  async runtime(): Promise<string> {
    return process.version;
  },
};

// One command after the other, so that answers come in the order of the questions.
let last: Promise<unknown> = Promise.resolve();
const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  const [name, ...given] = JSON.parse(line) as [keyof typeof commands, ...unknown[]];
  const run = commands[name] as (...given: unknown[]) => Promise<unknown>;
  last = last.then(async () => process.stdout.write(`${JSON.stringify(await run(...given))}\n`));
});
input.on('close', () => process.exit());
