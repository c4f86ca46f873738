/**
 * Memory that the runtime lets nobody transfer away: `postMessage` and `structuredClone` with a list of what is to be
 * moved, and `transfer()` of the memory itself. Node, Deno and Bun can be asked for it; browsers cannot.
 */

/** Sees to it that memory stays where it is. */
export type Pin = (memory: ArrayBuffer) => void;

/** `transfer` of ES2024, which typings do not know yet. */
interface Transferable extends ArrayBuffer {
  transfer?(): ArrayBuffer;
}

/** How memory is pinned here, tried out; undefined: it cannot be. */
export function runtimePin(): Pin | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?: (name: string) => unknown } };
  let mark: Pin | undefined;
  try {
    const workers = process?.getBuiltinModule?.('worker_threads');
    mark = (workers as { markAsUntransferable?: Pin } | undefined)?.markAsUntransferable;
  } catch {
    // Some runtimes have the name but not the function.
  }
  if (!mark) return undefined;
  const pin = mark;
  if (!stays(pin, (memory) => structuredClone(memory, { transfer: [memory] }))) return undefined;
  if (stays(pin, (memory: Transferable) => memory.transfer?.())) return pin;
  // Bun, and Node before 24: what was marked can still be transferred by its own method.
  return (memory) => {
    pin(memory);
    Object.defineProperties(memory, COPY_INSTEAD);
  };
}

/** Whether pinned memory is still there after something was done to it. */
function stays(pin: Pin, move: (memory: ArrayBuffer) => unknown): boolean {
  const memory = new ArrayBuffer(1);
  try {
    pin(memory);
    move(memory);
  } catch {
    // A refusal will do as well.
  }
  return memory.byteLength === 1;
}

/** A copy of memory, cut or filled up with zeros: what `transfer` answers, while the memory stays. */
function copyOf(this: ArrayBuffer, length: number = this.byteLength): ArrayBuffer {
  const copy = new Uint8Array(length);
  copy.set(new Uint8Array(this, 0, Math.min(length, this.byteLength)));
  return copy.buffer;
}

const COPY_INSTEAD: PropertyDescriptorMap = {
  transfer: { value: copyOf },
  transferToFixedLength: { value: copyOf },
};
