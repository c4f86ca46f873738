/*
 * The checksum and the LZ4 codec of both builds, each on a small memory whose every byte a test may set and look at:
 * their tests need neither pages nor a store, and stray accesses must not go unseen.
 */
import { STAGING_AREA } from '../../assembly/layout.ts';
import { bytes as debug } from '../../build/wasm/debug.js';
import { bytes as release } from '../../build/wasm/release.js';

export interface CodecCore {
  readonly name: string;
  readonly memory: WebAssembly.Memory;
  /** The whole memory; a test owns it from FREE_AREA on, up to the last byte. */
  readonly u8: Uint8Array;
  readonly x: {
    lz4Compress(source: number, sourceLength: number, target: number, targetCapacity: number): number;
    lz4Decompress(source: number, sourceLength: number, target: number, targetLength: number): number;
    checksumOf(address: number, length: number, seed: number, result: number): void;
  };
}

/** Above the table of the compressor and everything the compiler placed. */
export const FREE_AREA = STAGING_AREA;
/** Where the memory ends, unless a test asks for another. */
export const MEMORY_END = 0x200000;

/** Both builds, release first, each with a memory of its own that ends at `memoryEnd`. */
export function startCodecs(memoryEnd = MEMORY_END): CodecCore[] {
  return [start('release', release, memoryEnd), start('debug', debug, memoryEnd)];
}

function start(name: string, bytes: Uint8Array<ArrayBuffer>, memoryEnd: number): CodecCore {
  const memory = new WebAssembly.Memory({ initial: memoryEnd / 65536 });
  const abort = (message: number) => {
    const size = new DataView(memory.buffer).getUint32(message - 4, true); // a string is preceded by its size
    throw new Error(new TextDecoder('utf-16le').decode(new Uint8Array(memory.buffer, message, size)));
  };
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
    env: { memory, abort },
    memory: { pageSize: 8192, pageShift: 13 },
  });
  const x = instance.exports as unknown as CodecCore['x'];
  return { name, memory, u8: new Uint8Array(memory.buffer), x };
}
