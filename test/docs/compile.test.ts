/*
 * All TypeScript that people are shown (examples, guide, README, docstrings) compiles against the declarations of the package; and
 * the API reference is made of all that the package exports.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { documentedExamples } from '../support/documented.ts';
import { blocksOf, programOf } from './guide.ts';
import { compile } from './package-program.ts';

const root = join(import.meta.dirname, '../..');
const read = (name: string) => readFileSync(join(root, name), 'utf8');

test('documents: the code in them compiles, strictly', { timeout: 300_000 }, () => {
  const examples = readdirSync(join(root, 'docs/examples')).filter((name) => name.endsWith('.ts'));
  const files = new Map(examples.map((name) => [`docs/examples/${name}`, read(`docs/examples/${name}`)]));
  for (const name of ['docs/guide.md', 'README.md']) {
    files.set(`${name}.ts`, programOf(blocksOf(read(name), 'ts')));
  }
  files.set('src/examples.ts', programOf(documentedExamples()));
  const wrong = 'docs/examples/wrong.ts';
  files.set(
    wrong,
    "import { StorageEngine } from 'aegis-storage';\nStorageEngine.open({ pageSize: 'large' });",
  );
  expect(files.size).toBeGreaterThan(17);
  const findings = compile(files);
  expect(findings.filter((finding) => !finding.startsWith(wrong))).toEqual([]);
  expect(findings.length, 'what is wrong is found').toBe(1);
});

test('documents: the API reference has every entry point of the package', () => {
  const { exports } = JSON.parse(read('package.json')) as { exports: Record<string, { types?: string }> };
  const { entryPoints } = JSON.parse(read('typedoc.json')) as { entryPoints: string[] };
  const sources = Object.values(exports).flatMap(({ types }) => types ?? []);
  const built = entryPoints.map((source) => `./build/types/${source.replace('.ts', '.d.ts')}`);
  expect(built.sort()).toEqual(sources.sort());
});
