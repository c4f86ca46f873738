/*
 * Transient faults: one call fails, or two do, and then all is well again. Which call, and with which error of the
 * system, is drawn beforehand; the second one is often close behind the first, where whoever tries again meets it.
 */
import type { SimulatedRandom } from '../../src/backend/simulated-clock.ts';
import type {
  SimulatedBackend,
  SimulatedCall,
  SimulatedErrno,
  SimulatedFault,
  SimulatedOperation,
} from '../../src/testing/index.ts';

interface Kind {
  readonly operations: readonly SimulatedOperation[];
  readonly errnos: readonly SimulatedErrno[];
  /** The fault comes at one of the first so many such calls. */
  readonly within: number;
  /** How often it is drawn. */
  readonly weight: number;
}

const KINDS: readonly Kind[] = [
  {
    operations: ['write'],
    errnos: ['EIO', 'ENOSPC', 'EDQUOT', 'EFBIG', 'EROFS'],
    within: 60,
    weight: 10,
  },
  { operations: ['read'], errnos: ['EIO'], within: 60, weight: 5 },
  { operations: ['sync', 'syncSync'], errnos: ['EIO', 'ENOSPC', 'EDQUOT'], within: 25, weight: 3 },
  { operations: ['open'], errnos: ['EMFILE', 'EACCES', 'ENOSPC', 'EIO', 'EROFS'], within: 3, weight: 3 },
  { operations: ['truncate'], errnos: ['EIO', 'ENOSPC'], within: 2, weight: 1 },
  { operations: ['syncDirectory'], errnos: ['EIO', 'ENOSPC'], within: 3, weight: 1 },
  { operations: ['list', 'size'], errnos: ['EIO', 'EACCES'], within: 4, weight: 1 },
  { operations: ['remove'], errnos: ['EIO', 'EROFS'], within: 2, weight: 1 },
];
const KINDS_BY_WEIGHT = KINDS.flatMap((kind) => Array<Kind>(kind.weight).fill(kind));
const SPACE: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

interface Strike {
  readonly isMeant: (call: SimulatedCall) => boolean;
  readonly fault: SimulatedFault;
  left: number;
}

export class Strikes {
  readonly #random: SimulatedRandom;
  readonly #coming: Strike[] = [];
  /** Those that have come, in words. */
  readonly struck: string[] = [];
  /** A sync failed: what the cache shows may not be on the device. */
  lied = false;
  /** One said that there is no space. */
  tookSpace = false;

  constructor(random: SimulatedRandom) {
    this.#random = random;
  }

  /** Lets so many faults come. */
  arm(count: number): void {
    for (let n = 0; n < count; n++) this.#coming.push(this.#draw(n > 0 && this.#random.oneIn(2)));
  }

  /** No more faults. */
  disarm(): void {
    this.#coming.length = 0;
  }

  /** Decides the calls of a backend. */
  watch(backend: SimulatedBackend): void {
    backend.plan = (call) => this.#decide(call);
  }

  #draw(isClose: boolean): Strike {
    const random = this.#random;
    const kind = KINDS_BY_WEIGHT[random.below(KINDS_BY_WEIGHT.length)]!;
    const errno = kind.errnos[random.below(kind.errnos.length)]!;
    const file = random.below(3);
    const isMeant = ({ operation, file: name, position }: SimulatedCall): boolean =>
      kind.operations.includes(operation) &&
      (file === 0 || name === '' || (file === 1) === (name === 'data')) &&
      // Superblocks are rare among the writes of the data file, and everything hangs on them.
      (file !== 1 || kind.weight < 10 || errno !== 'EIO' || position < 8192);
    const left = 1 + random.below(isClose ? 3 : kind.within);
    return { isMeant, fault: { errno, torn: random.oneIn(2) }, left };
  }

  #decide(call: SimulatedCall): SimulatedFault | undefined {
    for (const [at, strike] of this.#coming.entries()) {
      if (!strike.isMeant(call) || --strike.left > 0) continue;
      this.#coming.splice(at, 1);
      const { errno } = strike.fault;
      this.struck.push(`${errno} at call ${call.number}, ${call.operation} ${call.file} ${call.position}`);
      if (/^sync/.test(call.operation)) this.lied = true;
      if (SPACE.has(errno!)) this.tookSpace = true;
      return strike.fault;
    }
    return undefined;
  }
}
