/*
 * The kill tests' ledger (test/crash/ledger.ts), with the order of the commits in it: beside its number a lane's
 * counter holds a ticket, drawn in the turn in which the commit is handed to the engine. The engine keeps that order,
 * so a store is one prefix of it exactly if it holds as many commits as its highest ticket says. Keys of other
 * writers begin with `more/` and are theirs to check.
 */
import { checkLedger, counterKey, counterOf, counterValue, LANES, type Readable } from '../crash/ledger.ts';

const OTHERS = 'more/';
const COUNTER_SIZE = 8; // bytes

/** The value of a lane's counter: its transaction's number, and the ticket. */
export function countedValue(n: number, ticket: number): Uint8Array {
  return Buffer.concat([counterValue(n), counterValue(ticket)]);
}

/** Where a store stands. */
export interface Standing {
  /** Last transaction of every lane. */
  readonly counters: readonly number[];
  /** Highest ticket: the last commit. */
  readonly last: number;
}

export function standingOf(store: Readable): Standing {
  const counters: number[] = [];
  let last = 0;
  for (let lane = 0; lane < LANES; lane++) {
    counters.push(counterOf(store, lane));
    const bytes = store.get(counterKey(lane));
    if (bytes === undefined) continue;
    last = Math.max(last, new DataView(bytes.buffer, bytes.byteOffset + COUNTER_SIZE).getFloat64(0));
  }
  return { counters, last };
}

/**
 * What is wrong with a store, one line each: it lacks commits up to `least`, has some above `most`, is no prefix of
 * the commit order, or a lane does not look as its transactions leave it.
 */
export function checkTickets(store: Readable, least: number, most = Number.POSITIVE_INFINITY): string[] {
  const { counters, last } = standingOf(store);
  const problems: string[] = [];
  if (last < least) problems.push(`lost: the store ends at commit ${last}, ${least} was acknowledged`);
  if (last > most) problems.push(`ghost: the store ends at commit ${last}, all above ${most} were refused`);
  const held = counters.reduce((sum, counter) => sum + counter, 0);
  if (held !== last) problems.push(`prefix: the store holds ${held} commits, and the last is ${last}`);
  return [...problems, ...checkLedger(lanesOnly(store), [])];
}

/** The store as the ledger knows it: counters without tickets, nobody else's keys. */
function lanesOnly(store: Readable): Readable {
  return {
    get: (key) => store.get(key),
    *scan() {
      for (const [bytes, value] of store.scan()) {
        const key = Buffer.from(bytes).toString();
        if (key.startsWith(OTHERS)) continue;
        yield [bytes, key.startsWith('counter/') ? value.slice(0, COUNTER_SIZE) : value];
      }
    },
  };
}
