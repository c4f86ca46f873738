/* docs/examples: each runs with the built package and prints what stands at its end. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { run } from './package-program.ts';

const folder = join(import.meta.dirname, '../../docs/examples');
const examples = readdirSync(folder)
  .filter((name) => name.endsWith('.ts'))
  .map((file) => ({ name: file.slice(0, -3), text: readFileSync(join(folder, file), 'utf8') }));

/** The comment at the end of an example. */
function expectedOutput(text: string): string | undefined {
  return /\n\/\* Output:\n([\s\S]*)\*\/\n$/.exec(text)?.[1];
}

test.each(examples)('examples: $name prints what it says', async ({ name, text }) => {
  const expected = expectedOutput(text);
  expect(expected, 'an example ends with its output').toBeDefined();
  expect(await run(name, text)).toEqual({ output: expected, status: 0 });
});

test('examples: the list names them all, and no others', () => {
  const list = readFileSync(join(folder, 'README.md'), 'utf8');
  const named = [...list.matchAll(/\]\(([\w-]+)\.ts\)/g)].map(([, name]) => name);
  expect(named.sort()).toEqual(examples.map(({ name }) => name).sort());
});
