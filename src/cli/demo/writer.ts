/**
 * The process that the demo kills. It commits transactions as fast as the store acknowledges them, several at a time,
 * and says on standard output which one it begins and which one is done: `begin 17.`, later `done 17.`.
 *
 * 1. `begin` is written before anything of the transaction is, `done` after its commit has resolved; a line is with
 *    the system before the next step, so a kill takes back nothing that was said.
 * 2. It never ends by itself while its parent lives, and always when its parent is gone: its standard input ends.
 */
import { StorageEngine } from '../../index.ts';
import { LANES, transactionRecords } from './ledger.ts';
import { storeConfig } from './store.ts';

/** Runs the writer on a store that is there, from transaction `first` on (a multiple of LANES). */
export async function runWriter(directory: string, first: number): Promise<void> {
  process.stdin.once('close', () => process.exit()).resume();
  process.stdout.on('error', () => process.exit());
  const engine = await StorageEngine.open({
    ...storeConfig(directory),
    createIfMissing: false,
    checkpointWalSize: '1MB', // so that the kill may hit a checkpoint too
  });
  const lane = async (start: number): Promise<never> => {
    for (let n = start; ; n += LANES) {
      say(`begin ${n}`);
      await engine.transaction((tx) => {
        for (const [key, value] of transactionRecords(n)) tx.put(key, value);
      });
      say(`done ${n}`);
    }
  };
  await Promise.all(Array.from({ length: LANES }, (_, index) => lane(first + index)));
}

function say(line: string): void {
  process.stdout.write(`${line}.\n`);
}
