/*
 * Style as a test. Each rule (test/support/tidy.ts) runs over the project, and over a small sample that breaks it:
 * a rule that finds nothing there would find nothing here either.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { bytes as debug } from '../build/wasm/debug.js';
import { bytes as release } from '../build/wasm/release.js';
import * as rules from './support/tidy.ts';
import { importsOf, type Rule, type SourceFile } from './support/tidy-source.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** What is made by tools, not by people; `.git` is a file in a linked work tree. */
const made = new Set(['.git', 'build', 'data', 'node_modules']);

function listFiles(folder = ''): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (made.has(entry.name)) return [];
    if (entry.isDirectory()) return listFiles(path);
    return entry.isFile() ? [path] : [];
  });
}

function readAll(paths: readonly string[]): SourceFile[] {
  return paths.map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
}

const everything = readAll(listFiles());
const sources = everything.filter(({ path }) => extname(path) === '.ts');

/** A bad sample: a path and a text, or several of them. */
type Sample = readonly (readonly [path: string, text: string])[];

interface Row {
  fact: string;
  rule: Rule;
  samples: Sample[];
}

function row(fact: string, rule: Rule, ...samples: Sample[]): Row {
  return { fact, rule, samples };
}

const table = [
  row(
    'only src/core/wasm.ts touches WebAssembly, its modules and raw exports',
    rules.oneDoor,
    [['src/store/pager.ts', 'const memory = new WebAssembly.Memory({ initial: 1 });']],
    [['src/engine/engine.ts', "import { bytes } from '../../build/wasm/release.js';"]],
    [['src/engine/engine.ts', "import { pageInit } from '../../assembly/page/page.ts';"]],
  ),
  row(
    'views of linear memory are asked for where they are used',
    rules.viewsAreNotKept,
    [['src/store/pager.ts', 'const { x, u8 } = this.core;']],
    [['src/store/pager.ts', 'const { u32: words } = this.core;']],
    [['src/store/pager.ts', 'const bytes = this.core.u8;']],
    [['src/store/pager.ts', 'class Pager { #bytes = this.core.u8; }']],
    [['src/store/pager.ts', 'function count({ x, u8 }: Core): void {}']],
  ),
  row(
    'only the local backend and the command line import node: modules',
    rules.nodeStaysLocal,
    [['src/engine/engine.ts', "import { readFileSync } from 'node:fs';"]],
    [['src/engine/engine.ts', "const fs = await import('node:fs');"]],
    [['src/engine/engine.ts', "export { join } from 'path';"]],
    [['src/engine/engine.ts', "let stats: import('node:fs').Stats;"]],
  ),
  row(
    'no clock, randomness, timer or environment but through the host',
    rules.nothingFromOutside,
    [['src/engine/engine.ts', 'const start = Date.now();']],
    [['src/engine/engine.ts', 'const start = new Date();']],
    [['src/engine/engine.ts', 'if (Math.random() < 0.5) run();']],
    [['src/wal/flusher.ts', 'setTimeout(run, 10);']],
    [['src/wal/flusher.ts', 'globalThis.setTimeout(run, 10);']],
    [['src/engine/engine.ts', "globalThis.crypto.getRandomValues(bytes); const home = process.env['HOME'];"]],
    [['assembly/pool/frames.ts', 'const now = performance.now();']],
  ),
  row(
    'arrows between the rooms of the house point down',
    rules.arrowsPointDown,
    [['src/wal/log.ts', "import { Pager } from '../store/pager.ts';"]],
    [['src/store/pager.ts', "import type { Transaction } from '../txn/transaction.ts';"]],
    [['src/backend/memory.ts', "export * from '../engine/engine.ts';"]],
    [['src/engine/engine.ts', "import { StorageEngine } from '../index.ts';"]],
    [['src/loose.ts', "import { AegisError } from './base/errors.ts';"]],
    [['assembly/page/page.ts', "import { frameNewest } from '../pool/frames';"]],
    [['src/attic/box.ts', "import { AegisError } from '../base/errors.ts';"]],
  ),
  row(
    'no file reaches itself through its imports',
    rules.noCircles,
    [
      ['src/txn/commit.ts', "import { conflicts } from './conflicts.ts';"],
      ['src/txn/conflicts.ts', "import type { Commit } from './commit.ts';"],
    ],
    [
      ['assembly/page/page.ts', 'import { frameOf } from "../pool/frames";'],
      ['assembly/pool/frames.ts', 'import { pageOf } from "../page/page";'],
    ],
  ),
  row('the core imports only itself', rules.coreStandsAlone, [
    ['assembly/page/page.ts', "import { x } from '../../src/base/errors.ts';"],
  ]),
  row(
    'no any, default export, enum or namespace',
    rules.plainLanguage,
    [['src/engine/engine.ts', 'export function open(options: any): void {}']],
    [['src/engine/engine.ts', 'export default class Engine {}']],
    [['src/engine/engine.ts', 'export default 5;']],
    [['src/engine/engine.ts', 'const engine = 1; export { engine as default };']],
    [['src/engine/engine.ts', 'export enum Kind { Leaf }']],
    [['src/engine/engine.ts', 'namespace Kind { export const leaf = 1; }']],
  ),
  row(
    'layout.ts holds plain constants below 2^31',
    rules.layoutIsNarrow,
    [['assembly/layout.ts', 'export const PAGE_SIZE: i32 = 8192;']],
    [['assembly/layout.ts', 'export const HALF = 7 / 2;']],
    [['assembly/layout.ts', 'export const MAGIC = 0x80000000;']],
    [['assembly/layout.ts', 'export const MAGIC = 4294967296;']],
    [['assembly/layout.ts', 'export const NEGATIVE = -1;']],
    [['assembly/layout.ts', 'export function size(): i32 { return 1; }']],
  ),
  row(
    'no file has more than 400 lines, but for a few that are listed with a reason',
    rules.shortFiles,
    [['src/engine/engine.ts', 'run();\n'.repeat(401)]],
    [['test/core/tree.test.ts', 'run();\n'.repeat(401)]],
    [['test/support/model-run.ts', 'run();']],
  ),
  row('every module opens with what it is for', rules.headerFirst, [
    ['src/engine/engine.ts', 'export const engine = 1;'],
  ]),
  row('nothing is left undone in a comment', rules.nothingLeftUndone, [
    ['src/engine/engine.ts', `// ${'TO'}${'DO'}: later`],
  ]),
  row(
    'nothing names a place of one machine',
    rules.noForeignPlaces,
    [['docs/format.md', `see ${'/ro'}${'ot/'}notes.md`]],
    [['README.md', `as ${'shared/'}${'design'} says`]],
    [['package-lock.json', `"resolved"${': "http'}://localhost:4873/x.tgz"`]],
  ),
  row(
    'no test is switched off or runs alone',
    rules.everyTestRuns,
    [['test/x.test.ts', "test.skip('x: y', () => { expect(1).toBe(1); });"]],
    [['test/x.test.ts', "describe.only('x', () => {});"]],
    [['test/x.test.ts', "it.todo('x: y');"]],
  ),
  row(
    'every test asserts something',
    rules.everyTestAsserts,
    [['test/x.test.ts', "test('x: y', () => { run(); });"]],
    [['test/x.test.ts', "test.each([1])('x: %i', async (n) => { await run(n); });"]],
    [
      [
        'test/x.test.ts',
        "test('x: y', { timeout: 5 }, () => { helper(); }); function helper() { return 1; }",
      ],
    ],
  ),
  row(
    'every test is named by its module and the fact',
    rules.testsAreNamed,
    [['test/x.test.ts', "test('works', () => { expect(1).toBe(1); });"]],
    [['test/x.test.ts', "test('1', () => { expect(1).toBe(1); });"]],
  ),
];

for (const { fact, rule, samples } of table) {
  test(`tidy: ${fact}`, () => {
    const files = rule === rules.noForeignPlaces || rule === rules.nothingLeftUndone ? everything : sources;
    expect(rule(files)).toEqual([]);
  });

  test(`tidy: a sample breaks the rule: ${fact}`, () => {
    for (const sample of samples) {
      const files = sample.map(([path, text]) => ({ path, text }));
      expect(rule(files), JSON.stringify(sample)).not.toEqual([]);
    }
  });
}

test('tidy: what the rules allow is allowed', () => {
  const allowed: Sample = [
    [
      'src/core/wasm.ts',
      "/* … */ import { bytes } from '../../build/wasm/release.js'; new WebAssembly.Module(bytes);",
    ],
    [
      'src/backend/local.ts',
      "/* Date */ import { openSync } from 'node:fs'; process.pid; setTimeout(openSync, 1);",
    ],
    [
      'src/engine/engine.ts',
      "/* process.env */ const text = 'Date.now()'; export const x = { process: 1, crypto: text };",
    ],
    [
      'src/txn/commit.ts',
      "/* … */ import type { Pager } from '../store/pager.ts'; switch (x) { default: y(); }",
    ],
    [
      'assembly/layout.ts',
      '/* … */\nexport const A = 0x10;\nexport const B_SIZE = A + 4 * 2; // bytes\nexport const C = (A << 2) | 1;',
    ],
    [
      'test/x.test.ts',
      "test.skipIf(odd)('x: y', () => { helper(); }); const helper = () => { expectSame(1); };",
    ],
  ];
  const files = allowed.map(([path, text]) => ({ path, text }));
  for (const { fact, rule } of table) expect(rule(files), fact).toEqual([]);
});

test('tidy: every room opens with what it owns, and what must never change there', () => {
  for (const house of ['src', 'assembly']) {
    const rooms = readdirSync(join(root, house), { withFileTypes: true }).filter((entry) =>
      entry.isDirectory(),
    );
    expect(rooms.length).toBeGreaterThan(6);
    for (const { name } of rooms) {
      const text = readFileSync(join(root, house, name, 'README.md'), 'utf8');
      expect(text, name).toMatch(new RegExp(`^# ${name}\n\n[^]+\n- Must never: `));
    }
  }
});

test('tidy: the rules see the project', () => {
  expect(sources.map(({ path }) => path)).toContain('assembly/layout.ts');
  expect(sources.map(({ path }) => path)).toContain('src/base/errors.ts');
  expect(sources.flatMap(importsOf).length).toBeGreaterThan(20);
});

test.each([
  ['release', release],
  ['debug', debug],
])('wasm: the %s module takes its memory, its page size and abort, and nothing else', (_target, bytes) => {
  const imports = WebAssembly.Module.imports(new WebAssembly.Module(bytes));
  const names = imports.map(({ module, name }) => `${module}.${name}`);
  const known = ['env.memory', 'env.abort', 'memory.pageSize', 'memory.pageShift'];
  expect(names.filter((name) => !known.includes(name))).toEqual([]);
});

test.each([
  ['release', release],
  ['debug', debug],
])('wasm: the %s module exports functions named nounVerb and constants in capitals', (_target, bytes) => {
  const exported = WebAssembly.Module.exports(new WebAssembly.Module(bytes));
  const odd = exported.filter(({ kind, name }) => {
    if (kind === 'function') return !/^[a-z][a-zA-Z0-9]*$/.test(name);
    return kind !== 'global' || !/^[A-Z][A-Z0-9_]*$/.test(name);
  });
  expect(odd).toEqual([]);
});
