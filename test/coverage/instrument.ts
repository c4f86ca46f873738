/*
 * An instrumented build of the core: every function and every basic block of assembly/ counts its runs.
 *
 * The counters are put into the source text before asc compiles it, on the lines they belong to, so that every line
 * keeps its number. Each is a mutable global that the module imports: linear memory stays as it is, a count costs one
 * global.get and global.set, and all instances of a process count together.
 *
 *   1. A block begins at the head of a function, in each arm of an `if` and of a conditional expression, at the right
 *      side of && and ||, in a loop's body, and behind a statement that may have left (return, break, continue).
 *   2. An `if` without else has its other way counted too, unless it leaves and the block behind it counts that, or
 *      the condition is a constant of the build.
 *   3. The build is the debug build, which holds every line; it differs from the other in that only.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import asc from 'assemblyscript/asc';
import ts from 'typescript';
import { type Block, COUNTERS, folder, type Kind, root } from './blocks.ts';

interface Insertion {
  readonly at: number;
  readonly text: string;
  /** Of two at one place the one that opens further out comes first, the one that closes further in. */
  readonly order: number;
}

/** Puts counters into one source file; `blocks` grows by what they count. */
export function instrument(file: string, text: string, blocks: Block[]): string {
  const tree = ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true);
  const insertions: Insertion[] = [];
  const lines = text.split('\n');
  const begin = blocks.length;
  let depth = 0;
  let name = '';

  const count = (node: ts.Node, kind: Kind): string => {
    const { line } = tree.getLineAndCharacterOfPosition(node.getStart());
    blocks.push({ file, line: line + 1, kind, function: name, text: lines[line]!.trim() });
    const counter = `c${blocks.length - 1}`;
    return `${counter} = ${counter} + 1`;
  };
  const insert = (at: number, inserted: string, opens: boolean): void => {
    insertions.push({ at, text: inserted, order: opens ? depth : -depth });
  };
  const around = (node: ts.Node, before: string, after: string): void => {
    insert(node.getStart(), before, true);
    insert(node.end, after, false);
  };
  const arm = (statement: ts.Statement, kind: Kind): void => {
    if (ts.isBlock(statement)) insert(statement.getStart() + 1, ` ${count(statement, kind)};`, true);
    else around(statement, `{ ${count(statement, kind)}; `, ' }');
  };
  const operand = (node: ts.Expression, kind: Kind): void => around(node, `(${count(node, kind)}, (`, '))');

  const visit = (node: ts.Node): void => {
    ++depth;
    if (ts.isFunctionDeclaration(node) && node.body) {
      name = node.name?.text ?? '';
      insert(node.body.getStart() + 1, ` ${count(node, 'function')};`, true);
    } else if (ts.isIfStatement(node)) {
      arm(node.thenStatement, 'then');
      if (node.elseStatement) arm(node.elseStatement, 'else');
      else if (!leaves(node.thenStatement) && !isConstant(node.expression)) {
        // Behind what closes the arm itself.
        insertions.push({ at: node.end, text: ` else { ${count(node, 'no else')}; }`, order: 0.5 - depth });
      }
    } else if (ts.isIterationStatement(node, false)) {
      arm(node.statement, 'loop');
    } else if (ts.isConditionalExpression(node)) {
      operand(node.whenTrue, 'then');
      operand(node.whenFalse, 'else');
    } else if (ts.isBinaryExpression(node) && isLogical(node.operatorToken.kind)) {
      operand(node.right, 'right side');
    }
    if (ts.isBlock(node)) {
      for (const [index, statement] of node.statements.entries()) {
        const next = node.statements[index + 1];
        if (next && mayLeave(statement)) insert(next.getStart(), `${count(next, 'after')}; `, true);
      }
    }
    ts.forEachChild(node, visit);
    --depth;
  };
  for (const statement of tree.statements) if (ts.isFunctionDeclaration(statement)) visit(statement);

  let result = text;
  for (const { at, text: inserted } of insertions.sort((a, b) => b.at - a.at || b.order - a.order)) {
    result = result.slice(0, at) + inserted + result.slice(at);
  }
  const declarations = blocks
    .slice(begin)
    .map((_, index) => `@external("${COUNTERS}", "c${begin + index}") declare let c${begin + index}: i64;`);
  return `${result}\n${declarations.join('\n')}\n`;
}

function isLogical(kind: ts.SyntaxKind): boolean {
  return kind === ts.SyntaxKind.AmpersandAmpersandToken || kind === ts.SyntaxKind.BarBarToken;
}

/** Whether a condition is decided when the core is compiled. */
function isConstant(condition: ts.Expression): boolean {
  return condition.getText() === 'DEBUG' || condition.getText().startsWith('isDefined(');
}

/** Whether a statement holds one that leaves it. */
function mayLeave(node: ts.Node): boolean {
  if (ts.isReturnStatement(node) || ts.isBreakStatement(node) || ts.isContinueStatement(node)) return true;
  return ts.forEachChild(node, mayLeave) ?? false;
}

/** Whether a statement, or the last one of a block, always leaves. */
function leaves(statement: ts.Statement): boolean {
  const last = ts.isBlock(statement) ? statement.statements.at(-1) : statement;
  if (last === undefined) return false;
  return ts.isReturnStatement(last) || ts.isBreakStatement(last) || ts.isContinueStatement(last);
}

/** Compiles the instrumented core into `folder`, as a module like those in build/wasm; answers what its counters count. */
export async function buildCounted(): Promise<readonly Block[]> {
  const blocks: Block[] = [];
  const sources = new Map<string, string>();
  const assembly = join(root, 'assembly');
  for (const name of readdirSync(assembly, { recursive: true, encoding: 'utf8' })) {
    if (!/(?<!\.d)\.ts$/.test(name)) continue;
    const file = `assembly/${name}`;
    sources.set(file, instrument(file, readFileSync(join(root, file), 'utf8'), blocks));
  }
  const output = new Map<string, string | Uint8Array>();
  const messages: string[] = [];
  const { error } = await asc.main(
    ['--config', 'asconfig.json', '--target', 'debug', '--baseDir', root, '--optimizeLevel', '1'],
    {
      stderr: { write: (text: string | Uint8Array) => void messages.push(String(text)) },
      readFile: (name: string) => {
        const known = sources.get(name.replace(/^.*?(?=assembly\/[a-z0-9/-]+\.ts$)/, ''));
        if (known !== undefined) return known;
        try {
          return readFileSync(join(root, name), 'utf8');
        } catch {
          return null;
        }
      },
      writeFile: (name: string, contents: string | Uint8Array) => void output.set(basename(name), contents),
    },
  );
  if (error) throw new Error(`asc failed on the instrumented core\n${messages.join('')}`, { cause: error });
  const bytes = output.get('debug.wasm') as Uint8Array;
  mkdirSync(folder, { recursive: true });
  const encoded = Buffer.from(bytes).toString('base64');
  writeFileSync(
    join(folder, 'counted.js'),
    `export const bytes = Uint8Array.from(atob('${encoded}'), (c) => c.charCodeAt(0));\n`,
  );
  writeFileSync(join(folder, 'blocks.json'), JSON.stringify(blocks));
  return blocks;
}
