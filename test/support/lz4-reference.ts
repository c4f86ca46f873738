/*
 * Two opinions on LZ4 blocks that are not ours: a decoder written byte by byte from the format's description, which
 * says what the core must make of any bytes whatever, and the lz4-wasm package, which must understand the blocks we
 * write and writes blocks we must understand.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

export interface Sequence {
  readonly literals: number;
  /** 0 in the last sequence, which has no match. */
  readonly offset: number;
  readonly matchLength: number;
  /** Where in the output the match begins. */
  readonly matchStart: number;
}

/** The sequences and bytes of a block, or undefined when it does not hold exactly `size` bytes. */
export function decodeSlowly(
  block: Uint8Array,
  size: number,
): { bytes: Uint8Array; sequences: Sequence[] } | undefined {
  const bytes = new Uint8Array(size);
  const sequences: Sequence[] = [];
  let output = 0;
  let input = 0;
  const readLength = (nibble: number): number => {
    let length = nibble;
    for (let more = nibble === 15; more && length <= size; ) {
      const byte = block[input++];
      if (byte === undefined) return Number.POSITIVE_INFINITY;
      length += byte;
      more = byte === 255;
    }
    return length;
  };
  for (;;) {
    const token = block[input++];
    if (token === undefined) return undefined;
    const literals = readLength(token >> 4);
    if (literals > block.length - input || literals > size - output) return undefined;
    bytes.set(block.subarray(input, input + literals), output);
    input += literals;
    output += literals;
    if (input === block.length) {
      sequences.push({ literals, offset: 0, matchLength: 0, matchStart: output });
      return output === size ? { bytes, sequences } : undefined;
    }
    const low = block[input++]!;
    const high = block[input++];
    if (high === undefined) return undefined;
    const offset = low + 256 * high;
    if (offset === 0 || offset > output) return undefined;
    const matchLength = readLength(token & 15) + 4;
    if (matchLength > size - output) return undefined;
    sequences.push({ literals, offset, matchLength, matchStart: output });
    for (const end = output + matchLength; output < end; output++) bytes[output] = bytes[output - offset]!;
  }
}

export interface Lz4Wasm {
  /** A 4-byte little-endian size, then a block. */
  compress(bytes: Uint8Array): Uint8Array;
  decompress(sizedBlock: Uint8Array): Uint8Array;
}

/** The package is made for bundlers that import `.wasm` files; Node is handed the same glue with the import cut out. */
export async function loadLz4Wasm(): Promise<Lz4Wasm> {
  const folder = dirname(createRequire(import.meta.url).resolve('lz4-wasm/package.json'));
  const importLine = "import * as wasm from './lz4_wasm_bg.wasm';";
  const glue = readFileSync(join(folder, 'lz4_wasm_bg.js'), 'utf8');
  if (!glue.includes(importLine)) throw new Error('lz4-wasm has another glue than the one known here');
  const text = glue.replace(importLine, 'let wasm; export const setWasm = (exports) => { wasm = exports; };');
  const url = `data:text/javascript;base64,${Buffer.from(text).toString('base64')}`;
  const loaded: Lz4Wasm & {
    __wbindgen_string_new(address: number, length: number): number;
    setWasm(exports: WebAssembly.Exports): void;
  } = await import(/* @vite-ignore */ url);
  const module = new WebAssembly.Module(readFileSync(join(folder, 'lz4_wasm_bg.wasm')));
  const { exports } = new WebAssembly.Instance(module, {
    './lz4_wasm_bg.js': { __wbindgen_string_new: loaded.__wbindgen_string_new },
  });
  loaded.setWasm(exports);
  return loaded;
}
