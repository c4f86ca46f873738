/*
 * The code of a document as one program: every `ts` block a function of its own with an open store, its imports
 * brought to the top. A line that ends with `// => x` is checked: what stands before it must equal x.
 */

/** A piece of a program. */
export interface Piece {
  readonly text: string;
  /** Line that its first line stands in; and of which file, where there are several. */
  readonly line: number;
  readonly file?: string;
}

/** A fenced block of a document. */
export interface Block extends Piece {
  readonly language: string;
}

export function blocksOf(markdown: string, language: string): Block[] {
  const blocks: Block[] = [];
  for (const match of markdown.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)) {
    const line = markdown.slice(0, match.index).split('\n').length + 1;
    blocks.push({ language: match[1]!, text: match[2]!, line });
  }
  return blocks.filter((block) => block.language === language);
}

const IMPORT = /^import (type )?(?:\{ (.*) \} from )?'(.*)';$/;

/** The program; it prints the number of blocks and of checks when all went well. */
export function programOf(blocks: readonly Piece[]): string {
  const imports = new Map<string, Set<string>>([['aegis-storage', new Set(['StorageEngine'])]]);
  const functions = blocks.map(({ text, line, file }) => {
    const body = text.split('\n').flatMap((source) => {
      const [, type = '', names, from] = IMPORT.exec(source) ?? [];
      if (from === undefined) return [checked(source)];
      const known = imports.get(from) ?? new Set();
      imports.set(from, known);
      for (const name of names?.split(', ') ?? []) known.add(`${type}${name}`);
      return [];
    });
    const place = JSON.stringify(file === undefined ? line : `${file}:${line}`);
    return `blocks.push([${place}, async (engine) => {\n{\n${body.join('\n')}\n}\n}]);`;
  });
  const lines = [...imports].map(([from, names]) => `import { ${[...names].join(', ')} } from '${from}';`);
  return `${lines.join('\n')}
import { isDeepStrictEqual } from 'node:util';

let checks = 0;
const blocks: [line: number | string, run: (engine: StorageEngine) => Promise<void>][] = [];
function same(found: unknown, expected: unknown): void {
  ++checks;
  if (!isDeepStrictEqual(found, expected)) throw new Error(\`\${JSON.stringify(found)} is not \${JSON.stringify(expected)}\`);
}
same(0, 0);

${functions.join('\n\n')}

for (const [line, run] of blocks) {
  const engine = await StorageEngine.open();
  try {
    await run(engine);
  } catch (error) {
    console.log(\`the block at line \${line}:\`, error);
  }
  await engine.close();
}
console.log(blocks.length, 'blocks', checks - 1, 'checks');
`;
}

/** A line with a check in it. */
function checked(line: string): string {
  const [, expression, expected] = /^(\S.*);\s+\/\/ => (.*)$/.exec(line) ?? [];
  return expression === undefined ? line : `same(${expression}, ${expected});`;
}

/** The commands of a block that shows them, with what each must print. */
export function commandsOf({ text }: Block): { command: string; output: string }[] {
  return text
    .split(/^\$ /m)
    .slice(1)
    .map((part) => {
      const end = part.indexOf('\n');
      return { command: part.slice(0, end), output: part.slice(end + 1) };
    });
}
