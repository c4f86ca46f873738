/* The guide, the README and the docstrings: their code runs with the built package and gives what the comments say. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { expect, test } from 'vitest';
import { allCodes, documentedExamples } from '../support/documented.ts';
import { blocksOf, commandsOf, programOf } from './guide.ts';
import { run } from './package-program.ts';

const root = join(import.meta.dirname, '../..');
const read = (name: string) => readFileSync(join(root, name), 'utf8');
const pages = ['docs/guide.md', 'README.md'].map((name) => ({ name, blocks: blocksOf(read(name), 'ts') }));
const documents = [...pages, { name: 'docstrings', blocks: documentedExamples() }].map(({ name, blocks }) => {
  return { name, blocks, program: programOf(blocks) };
});

test.each(documents)(
  'guide: the code of $name runs, and gives what its comments say',
  async ({ name, blocks, program }) => {
    const checks = blocks.flatMap(({ text }) => text.match(/\/\/ => /g) ?? []).length;
    const { output, status } = await run(name.replace('/', '-'), program);
    expect(status, output).toBe(0);
    expect(output).not.toContain('the block at line');
    expect(output.trimEnd().split('\n').at(-1)).toBe(`${blocks.length} blocks ${checks} checks`);
    expect(checks).toBeGreaterThan(0);
  },
);

test('guide: a comment that is wrong is noticed', async () => {
  const block = {
    language: 'ts',
    line: 3,
    text: "await engine.put('a', '1');\nengine.getString('a'); // => '2'\n",
  };
  const { output } = await run('wrong', programOf([block]));
  expect(output).toMatch(/the block at line 3: Error: "1" is not "2"/);
});

test('guide: the commands print what they are shown to print', () => {
  const place = mkdtempSync(join(tmpdir(), 'aegis-guide-'));
  try {
    mkdirSync(join(place, 'bin'));
    symlinkSync(join(root, 'build/cli.js'), join(place, 'bin/aegis'));
    const env = { ...process.env, PATH: `${join(place, 'bin')}${delimiter}${process.env['PATH']}` };
    const shown = blocksOf(read('docs/guide.md'), 'console').flatMap(commandsOf);
    const printed = shown.map(({ command }) => {
      const { stdout, stderr } = spawnSync('sh', ['-c', command], { cwd: place, env, encoding: 'utf8' });
      return { command, output: stderr + stdout };
    });
    expect(printed).toEqual(shown);
    expect(shown.length).toBeGreaterThan(8);
  } finally {
    rmSync(place, { recursive: true });
  }
});

test('guide: its table of errors has every code', () => {
  const section = read('docs/guide.md')
    .split(/^## /m)
    .find((text) => text.startsWith('Errors'))!;
  const rows = section.matchAll(/^\| `([A-Z_]+)` \|/gm);
  expect([...rows].map(([, code]) => code).sort()).toEqual([...allCodes()].sort());
});

test('guide: links lead somewhere', () => {
  const guide = read('docs/guide.md');
  const headings = [...guide.matchAll(/^#+ (.*)$/gm)].map(([, text]) =>
    text!.toLowerCase().replaceAll(' ', '-'),
  );
  for (const [, target] of guide.matchAll(/\]\(([^)]+)\)/g)) {
    if (target!.startsWith('#')) expect(headings).toContain(target!.slice(1));
    else expect(read(`docs/${target}`).length, target).toBeGreaterThan(0);
  }
});

test('documents: what the list says is decided somewhere is decided there', () => {
  const [, list = ''] = read('docs/README.md').split('## Where it is decided');
  const places = [...list.matchAll(/`(#?\w+)`[^`[]*\[[^\]]+\]\(([^)]+)\)/g)];
  expect(places.length).toBeGreaterThanOrEqual(10);
  for (const [, name, target] of places) {
    expect(read(`docs/${target}`), `${name} in ${target}`).toMatch(
      new RegExp(`^ *(export )?(function )?${name}\\(`, 'm'),
    );
  }
});
