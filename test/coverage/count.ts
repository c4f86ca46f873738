/*
 * Gives every instance of the instrumented core its counters, one set for the whole process, and leaves what they
 * counted behind after each test file: a line of the numbers of the
 * blocks that ran, behind the file's name.
 */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect } from 'vitest';
import { COUNTERS, folder, readBlocks } from './blocks.ts';

const counters = readBlocks().map(() => new WebAssembly.Global({ value: 'i64', mutable: true }, 0n));
const named = Object.fromEntries(counters.map((counter, index) => [`c${index}`, counter]));

const { Instance } = WebAssembly;
WebAssembly.Instance = class extends Instance {
  constructor(module: WebAssembly.Module, imports?: WebAssembly.Imports) {
    super(module, { ...imports, [COUNTERS]: named });
  }
};

afterAll(() => {
  const ran = counters.flatMap(({ value }, index) => (value === 0n ? [] : [index]));
  appendFileSync(join(folder, 'ran.txt'), `${expect.getState().testPath} ${ran.join(' ')}\n`);
});
