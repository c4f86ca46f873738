/* A program that opens and closes local stores on command; see test/support/programs.ts. */
import { createInterface } from 'node:readline';
import { AegisError, StorageEngine } from '../../src/index.ts';

export interface OpenOutcome {
  opened: boolean;
  code?: string;
  pid?: number;
  message?: string;
}

let engine: StorageEngine | undefined;

const commands = {
  async open(dataDirectory: string, readOnly: boolean): Promise<OpenOutcome> {
    try {
      engine = await StorageEngine.open({ backend: 'local', dataDirectory, readOnly });
      return { opened: true };
    } catch (error) {
      if (!(error instanceof AegisError)) return { opened: false, message: String(error) };
      const { code, message, pid } = error;
      return { opened: false, code, message, ...(pid === undefined ? {} : { pid }) };
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
