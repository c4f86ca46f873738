/*
 * The place a story is told in: a simulated disk that outlives the processes that use it, with one fault in it. Calls
 * are counted through all of them, so that a fault can be put at any call of the whole story.
 */
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import type { SimulatedCall, SimulatedErrno, SimulatedFault } from '../../src/backend/simulated-faults.ts';

/** Turns of the event loop after which a promise that nothing is left to settle counts as hanging. */
const IDLE_TURNS_MAX = 40;

/** Which calls fail: one; it and all later ones of the same operation; it and all later ones. */
export type Span = 'once' | 'same operation' | 'everything';

/** The fault of a story. */
export interface Injection {
  /** Number of the call, from 1. */
  readonly index: number;
  readonly errno: SimulatedErrno;
  readonly span: Span;
  /** A write leaves a part of its bytes. */
  readonly torn: boolean;
}

export class Place {
  backend: SimulatedBackend;
  /** Calls so far. */
  count = 0;
  /** Every call so far. */
  readonly calls: SimulatedCall[] = [];
  /** Calls that were made to fail. */
  readonly failed: SimulatedCall[] = [];
  readonly injection: Injection | undefined;
  #operation: string | undefined;

  constructor(seed: number, injection?: Injection) {
    this.injection = injection;
    this.backend = new SimulatedBackend({ seed, manual: true });
    this.backend.plan = (call) => this.#plan(call);
  }

  /** The process dies; its successor finds what it wrote. */
  die(): void {
    this.backend.plan = () => undefined;
    this.backend = this.backend.kill();
    this.backend.plan = (call) => this.#plan(call);
  }

  /** Waits for a promise while time passes; one that nothing is left to settle is an error. */
  settle<T>(promise: Promise<T>): Promise<T> {
    return settleOn(this.backend, promise);
  }

  #plan(call: SimulatedCall): SimulatedFault | undefined {
    this.count++;
    this.calls.push(call);
    const { injection } = this;
    if (!injection || this.count < injection.index) return undefined;
    if (this.count === injection.index) this.#operation = call.operation;
    else if (injection.span === 'once') return undefined;
    else if (injection.span === 'same operation' && call.operation !== this.#operation) return undefined;
    if (call.operation === 'close') return undefined;
    this.failed.push(call);
    return { errno: injection.errno, torn: injection.torn };
  }
}

/** As `Place.settle`, for any simulated disk whose time stands still. */
export async function settleOn<T>({ clock }: SimulatedBackend, promise: Promise<T>): Promise<T> {
  let settled = false;
  const note = (): void => {
    settled = true;
  };
  promise.then(note, note);
  for (let idle = 0; ; ) {
    // A turn of the event loop, not of the microtask queue: here a runtime looks for rejections nobody handles.
    await new Promise((resolve) => setImmediate(resolve));
    if (settled) return promise;
    if (clock.step()) idle = 0;
    else if (++idle > IDLE_TURNS_MAX)
      throw new Error('a promise hangs: nothing is left that could settle it');
  }
}
