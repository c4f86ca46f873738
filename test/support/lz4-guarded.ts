/*
 * Calls of the LZ4 codec that see every step outside its buffers. One buffer ends where the memory ends, so that one
 * byte too far traps; the other lies between guard bytes, which must come back as they were, as must the source.
 */
import { type CodecCore, FREE_AREA } from './codec-core.ts';

/** Which of the two buffers ends where the memory ends. */
export type Edge = 'source' | 'target';
export const edges: readonly Edge[] = ['source', 'target'];

const GUARD_SIZE = 64;
const GUARD = new Uint8Array(GUARD_SIZE).fill(0xa5);

/** The block, or undefined when it did not fit. */
export function compressGuarded(
  core: CodecCore,
  bytes: Uint8Array,
  capacity: number,
  edge: Edge = 'target',
): Uint8Array | undefined {
  return guarded(core, bytes, capacity, edge, (source, target) => {
    const size = core.x.lz4Compress(source, bytes.length, target, capacity);
    if (size > capacity) throw new Error('the block is larger than its room');
    return size === 0 ? undefined : core.u8.slice(target, target + size);
  });
}

/** The bytes, or undefined when the block was refused. */
export function decompressGuarded(
  core: CodecCore,
  block: Uint8Array,
  size: number,
  edge: Edge = 'target',
): Uint8Array | undefined {
  return guarded(core, block, size, edge, (source, target) => {
    const whole = core.x.lz4Decompress(source, block.length, target, size);
    return whole === 0 ? undefined : core.u8.slice(target, target + size);
  });
}

function guarded(
  core: CodecCore,
  input: Uint8Array,
  outputSize: number,
  edge: Edge,
  call: (source: number, target: number) => Uint8Array | undefined,
): Uint8Array | undefined {
  const { u8 } = core;
  const place = (size: number, atEnd: boolean) => (atEnd ? u8.length - size : FREE_AREA + GUARD_SIZE);
  const source = place(input.length, edge === 'source');
  const target = place(outputSize, edge === 'target');
  const guards = [
    source - GUARD_SIZE,
    source + input.length,
    target - GUARD_SIZE,
    target + outputSize,
  ].filter((address) => address < u8.length);
  for (const address of guards) u8.set(GUARD, address);
  u8.set(input, source);
  u8.fill(0x5a, target, target + outputSize);
  const result = call(source, target);
  for (const address of guards) {
    if (!same(u8.subarray(address, address + GUARD_SIZE), GUARD)) throw new Error('a guard byte was changed');
  }
  if (!same(u8.subarray(source, source + input.length), input)) throw new Error('the source was changed');
  return result;
}

export function same(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}
