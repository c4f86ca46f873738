/**
 * Act one: the data set goes in, a thousand records to a transaction, each transaction durable before the next.
 */
import type { StorageEngine } from '../../index.ts';
import { count, rate, time } from '../units.ts';
import type { Stage } from './stage.ts';

const RECORDS_IN_TRANSACTION = 1000;

/** Loads the data set; answers how many milliseconds it took. */
export async function load(engine: StorageEngine, { screen, cities, proofs }: Stage): Promise<number> {
  const { records } = cities;
  screen.heading(
    'load',
    `${count(RECORDS_IN_TRANSACTION)} records to a transaction, each synced to the disk`,
  );
  const progress = screen.progress(records.length, 'records');
  const begin = performance.now();
  let transactions = 0;
  for (let at = 0; at < records.length; at += RECORDS_IN_TRANSACTION) {
    const some = records.slice(at, at + RECORDS_IN_TRANSACTION);
    await engine.transaction((tx) => {
      for (const { key, value } of some) tx.put(key, value);
    });
    ++transactions;
    progress.update(at + some.length);
  }
  const milliseconds = performance.now() - begin;
  progress.stop();
  const there = engine.count();
  screen.fact(
    `${count(records.length)} records`,
    `${rate(records.length, milliseconds)} records/s`,
    `${count(transactions)} transactions in ${time(milliseconds)}`,
  );
  proofs.check(there === records.length, 'all records are there', `${count(there)} records`);
  return milliseconds;
}
