/* A program that opens and closes local stores on command; see test/support/programs.ts. */
import { createInterface } from 'node:readline';
import { AegisError, StorageEngine } from '../../src/index.ts';
import { LocalBackend } from '../../src/local.ts';

export interface OpenOutcome {
  opened: boolean;
  code?: string;
  pid?: number;
  message?: string;
  /** What the counter of won races said. */
  wins?: number;
}

let engine: StorageEngine | undefined;

/** A backend whose lock everybody gets: the control. */
class UnlockedBackend extends LocalBackend {
  override async lock(): Promise<{ release(): void }> {
    return { release: () => undefined };
  }
}

function outcomeOf(error: unknown): OpenOutcome {
  if (!(error instanceof AegisError)) return { opened: false, message: String(error) };
  const { code, message, pid } = error;
  return { opened: false, code, message, ...(pid === undefined ? {} : { pid }) };
}

const commands = {
  async open(dataDirectory: string, readOnly: boolean): Promise<OpenOutcome> {
    try {
      engine = await StorageEngine.open({ backend: 'local', dataDirectory, readOnly });
      return { opened: true };
    } catch (error) {
      return outcomeOf(error);
    }
  },

  /** Opens at a moment given in milliseconds since 1970, and counts the won race in the store. */
  async race(dataDirectory: string, begin: number, unlocked = false): Promise<OpenOutcome> {
    while (Date.now() < begin) await new Promise((resolve) => setTimeout(resolve, 0));
    try {
      const backend = unlocked ? new UnlockedBackend(dataDirectory) : ('local' as const);
      const own = await StorageEngine.open({ backend, dataDirectory, pageSize: 4096 });
      engine = own;
      const wins = Number(own.getString('wins') ?? 0);
      await own.put('wins', String(wins + 1));
      return { opened: true, wins };
    } catch (error) {
      return outcomeOf(error);
    }
  },

  async put(key: string, value: string): Promise<string> {
    await engine?.put(key, value);
    return 'written';
  },

  async close(): Promise<string> {
    await engine?.close();
    return 'closed';
  },
};

createInterface({ input: process.stdin }).on('line', async (line) => {
  const [name, ...given] = JSON.parse(line) as [keyof typeof commands, ...unknown[]];
  const run = commands[name] as (...given: unknown[]) => Promise<unknown>;
  process.stdout.write(`${JSON.stringify(await run(...given))}\n`);
});
