/*
 * Linear memories and instances that are used again: making and collecting fresh ones costs more than all that an
 * open store does with them. What must be zero in a fresh one (state, tables, frames) is cleared before it is lent
 * again; what is scratch keeps the bytes of the store before, as it does in one that stays open.
 *
 * The places that no area owns are filled with canary bytes and looked at when a memory is given back, so that a
 * write outside of the areas of assembly/layout.ts shows.
 *
 * While memories are lent, `new WebAssembly.Memory` and `new WebAssembly.Instance` answer what is in the pool. The cores
 * that the engine keeps for as long as the process lives are made before that: nobody ever gives their memory back.
 */
import {
  FRAME_AREA,
  KEY_AREA,
  LZ4_TABLE_AREA,
  PAGE_AREA,
  PAGE_AREA_SIZE,
  STAGING_AREA,
  STATE_AREA,
  STATE_AREA_SIZE,
  VICTIM_AREA,
  VICTIM_CAPACITY,
} from '../../assembly/layout.ts';
import { withScratch } from '../../src/codec/scratch.ts';
import { StorageEngine } from '../../src/index.ts';

withScratch(() => undefined);
await (await StorageEngine.open({ backend: 'memory' })).close();

const CANARY = 0xc5;
const VICTIMS_END = VICTIM_AREA + VICTIM_CAPACITY * 4 + 4; // the list and where it goes on
/** Places that no area owns. */
const GAPS: readonly (readonly [from: number, to: number])[] = [
  [STATE_AREA + 0xc00, STATE_AREA + STATE_AREA_SIZE],
  [VICTIMS_END, LZ4_TABLE_AREA],
  [PAGE_AREA + PAGE_AREA_SIZE, STAGING_AREA],
];
if (KEY_AREA !== STATE_AREA + STATE_AREA_SIZE) throw new Error('the gap after the state area has moved');
const canaries = new Uint8Array(Math.max(...GAPS.map(([from, to]) => to - from))).fill(CANARY);

type Descriptor = { initial: number; maximum?: number };
type Imports = { env: { memory: WebAssembly.Memory }; memory?: { pageSize: number } };

interface Loan {
  readonly memory: WebAssembly.Memory;
  /** The memories that it can stand for; it may have grown since. */
  readonly kind: string;
  module?: WebAssembly.Module;
  pageSize?: number;
  instance?: WebAssembly.Instance;
}

const RealMemory = WebAssembly.Memory;
const RealInstance = WebAssembly.Instance;
const idle = new Map<string, Loan[]>();
const loans = new Map<WebAssembly.Memory, Loan>();

function lend({ initial, maximum }: Descriptor): WebAssembly.Memory {
  const kind = `${initial} ${maximum}`;
  let loan = idle.get(kind)?.pop();
  if (loan === undefined) {
    const memory = new RealMemory(maximum === undefined ? { initial } : { initial, maximum });
    loan = { memory, kind };
  }
  const bytes = new Uint8Array(loan.memory.buffer);
  for (const [from, to] of GAPS) bytes.fill(CANARY, from, to);
  loans.set(loan.memory, loan);
  return loan.memory;
}

function instantiate(module: WebAssembly.Module, imports: Imports): WebAssembly.Instance {
  const loan = loans.get(imports.env.memory);
  if (imports.memory === undefined) {
    // Not the core: a codec keeps its memory for as long as the process lives.
    loans.delete(imports.env.memory);
    return new RealInstance(module, imports);
  }
  const { pageSize } = imports.memory;
  if (loan?.instance && loan.module === module && loan.pageSize === pageSize) return loan.instance;
  const instance = new RealInstance(module, imports);
  if (loan) Object.assign(loan, { module, pageSize, instance });
  return instance;
}

/** From now on every new memory is one of ours. */
export function startLending(): void {
  WebAssembly.Memory = new Proxy(RealMemory, { construct: (_target, [descriptor]) => lend(descriptor) });
  WebAssembly.Instance = new Proxy(RealInstance, {
    construct: (_target, [module, imports]) => instantiate(module, imports),
  });
}

export function stopLending(): void {
  WebAssembly.Memory = RealMemory;
  WebAssembly.Instance = RealInstance;
  idle.clear();
  loans.clear();
}

/**
 * Lends memories while something runs, and takes them back afterwards; they are kept for the next time. Whatever made
 * them must be at rest by then. After an error they are left to it.
 */
export async function lendingWhile<T>(work: () => Promise<T>): Promise<T> {
  startLending();
  let isAtRest = false;
  try {
    const answer = await work();
    isAtRest = true;
    return answer;
  } finally {
    WebAssembly.Memory = RealMemory;
    WebAssembly.Instance = RealInstance;
    reclaimMemories(isAtRest);
  }
}

/** Takes back all that were lent. Throws if a canary byte has changed. `reuse` false: something may use them still. */
export function reclaimMemories(reuse = true): void {
  const back = [...loans.values()];
  loans.clear();
  for (const loan of back) {
    const bytes = new Uint8Array(loan.memory.buffer);
    for (const [from, to] of GAPS) {
      if (Buffer.compare(bytes.subarray(from, to), canaries.subarray(0, to - from)) === 0) continue;
      const at = bytes.findIndex((byte, index) => index >= from && byte !== CANARY);
      throw new Error(`a byte that nobody owns was written: ${at} of linear memory`);
    }
    if (!reuse) continue;
    bytes.fill(0, STATE_AREA, STAGING_AREA);
    bytes.fill(0, FRAME_AREA);
    const same = idle.get(loan.kind) ?? [];
    idle.set(loan.kind, same);
    same.push(loan);
  }
}
