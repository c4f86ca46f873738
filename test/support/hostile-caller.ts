/*
 * The hostile caller: importing this module makes every program of the file that imports it one. Each key, value, bound,
 * operation and serialised block is handed over as a view into one scratch Buffer, which is overwritten as soon as the call
 * has returned; each value that is handed out is copied for the program, and then overwritten, or transferred away.
 *
 * 1. Nothing else changes: what the program sees are the bytes that were answered, at the time of the answer.
 * 2. What is no legal key or value is handed over as it is.
 */
import { Block } from '../../src/engine/block.ts';
import { KeyReader } from '../../src/engine/key-reader.ts';
import { KeySpace } from '../../src/engine/key-space.ts';
import { Scan } from '../../src/txn/scan.ts';
import { TransactionSpace } from '../../src/txn/transaction-space.ts';

/** Larger arguments have a Buffer of their own. */
const SCRATCH_SIZE = 1 << 20;
/** Every so many values are transferred. */
const TRANSFER_EVERY = 16;
const SPOILT = 0xa5;
const BOUNDS = ['gt', 'gte', 'lt', 'lte', 'prefix'];

/** What was done. */
export const tally = { lent: 0, spoilt: 0, transferred: 0 };

const scratch = Buffer.alloc(SCRATCH_SIZE, SPOILT);
let top = 0;

/** Views that are lent for the time of a call. */
class Loan {
  readonly #from = top;
  readonly #own: Uint8Array[] = [];

  /** Bytes, or a string that has bytes, in borrowed memory. */
  bytes(given: unknown): unknown {
    const isText =
      typeof given === 'string' && (given as string & { isWellFormed(): boolean }).isWellFormed();
    if (!isText && !(given instanceof Uint8Array)) return given;
    const bytes = isText ? Buffer.from(given as string) : (given as Uint8Array);
    ++tally.lent;
    if (top + bytes.length > SCRATCH_SIZE) {
      const own = Buffer.from(bytes);
      this.#own.push(own);
      return own;
    }
    const view = scratch.subarray(top, top + bytes.length);
    view.set(bytes);
    top += bytes.length;
    return view;
  }

  /** Bytes only: a string is none here. */
  only(given: unknown): unknown {
    return typeof given === 'string' ? given : this.bytes(given);
  }

  keys(given: unknown): unknown {
    return Array.isArray(given) ? given.map((key) => this.bytes(key)) : given;
  }

  range(given: unknown): unknown {
    if (typeof given !== 'object' || given === null) return given;
    const lent: Record<string, unknown> = { ...given };
    for (const bound of BOUNDS) if (bound in lent) lent[bound] = this.bytes(lent[bound]);
    return lent;
  }

  operation(given: unknown): unknown {
    if (typeof given !== 'object' || given === null) return given;
    const lent: Record<string, unknown> = { ...given };
    for (const field of ['key', 'value']) if (field in lent) lent[field] = this.bytes(lent[field]);
    return lent;
  }

  /** A list that is good for the call, or a generator that fills the same memory again for each operation. */
  operations(given: unknown): unknown {
    if (typeof given !== 'object' || given === null || !(Symbol.iterator in given)) return given;
    if (Array.isArray(given) && given.length % 2 === 0) return given.map((one) => this.operation(one));
    const all = given as Iterable<unknown>;
    return (function* () {
      for (const one of all) {
        const loan = new Loan();
        try {
          yield loan.operation(one);
        } finally {
          loan.end();
        }
      }
    })();
  }

  end(): void {
    scratch.fill(SPOILT, this.#from, top);
    top = this.#from;
    for (const own of this.#own) own.fill(SPOILT);
  }
}

/** The program's copy of a value; the value itself is spoilt. */
function kept(value: Uint8Array): Uint8Array {
  const copy = new Uint8Array(value);
  if (++tally.spoilt % TRANSFER_EVERY === 0) {
    try {
      structuredClone(value, { transfer: [value.buffer as ArrayBuffer] });
    } catch {
      // The runtime refuses.
    }
    ++tally.transferred;
  }
  if (value.length > 0) value.fill(SPOILT);
  return copy;
}

function keptDeep(answer: unknown): unknown {
  if (answer instanceof Uint8Array) return kept(answer);
  if (Array.isArray(answer)) return answer.map(keptDeep);
  return answer;
}

type Method = (this: unknown, ...given: unknown[]) => unknown;
type Lend = 'bytes' | 'only' | 'keys' | 'range' | 'operations';

/** Puts a hostile method in the place of one, which still knows nothing of it. */
function replace(owner: object, name: string, lends: readonly Lend[]): void {
  const original = Reflect.get(owner, name) as Method;
  Object.defineProperty(owner, name, {
    configurable: true,
    writable: true,
    value: function hostile(this: unknown, ...given: unknown[]): unknown {
      const loan = new Loan();
      try {
        const lent = given.map((one, i) => (lends[i] ? loan[lends[i]](one) : one));
        return keptDeep(original.apply(this, lent));
      } finally {
        loan.end();
      }
    },
  });
}

/** As `replace`, for iterators: each step is spoilt. */
function spoilSteps(owner: object, name: string): void {
  const original = Reflect.get(owner, name) as Method;
  Object.defineProperty(owner, name, {
    configurable: true,
    writable: true,
    value: function hostile(this: unknown): unknown {
      const steps = original.call(this) as Iterator<Uint8Array>;
      const next = steps.next.bind(steps);
      return Object.defineProperty(steps, 'next', {
        value: () => spoiltStep(next()),
      });
    },
  });
}

function spoiltStep<T>(step: IteratorResult<T>): IteratorResult<T> {
  return step.done ? step : { done: false, value: keptDeep(step.value) as T };
}

for (const owner of [KeyReader.prototype, TransactionSpace.prototype]) {
  for (const name of ['get', 'getString', 'has']) replace(owner, name, ['bytes']);
  for (const name of ['scan', 'count']) replace(owner, name, ['range']);
  replace(owner, 'getMany', ['keys']);
}
for (const name of ['put', 'putSync']) replace(KeySpace.prototype, name, ['bytes', 'bytes']);
for (const name of ['delete', 'deleteSync']) replace(KeySpace.prototype, name, ['bytes']);
for (const name of ['batch', 'batchSync']) replace(KeySpace.prototype, name, ['operations']);
replace(TransactionSpace.prototype, 'put', ['bytes', 'bytes']);
replace(TransactionSpace.prototype, 'delete', ['bytes']);
replace(TransactionSpace.prototype, 'deleteRange', ['range']);
replace(Block, 'deserialize', ['only']);
replace(Block.prototype, 'serialize', []);
replace(Scan.prototype, 'nextMany', []);
for (const name of ['keys', 'values']) spoilSteps(Scan.prototype, name);
const { next } = Scan.prototype;
Scan.prototype.next = function hostile(this: Scan) {
  return spoiltStep(next.call(this));
};
