/*
 * Programs of people who use the package: written in TypeScript, checked against the declarations that a user gets,
 * and run with the bundles that a user gets. They lie in build/, from where the package finds itself by its name.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ts from 'typescript';

const root = join(import.meta.dirname, '../..');

/** As strict as a user may be who checks our declarations, too. */
const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
  types: ['node'],
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noImplicitReturns: true,
  noUnusedLocals: true,
  verbatimModuleSyntax: true,
  erasableSyntaxOnly: true,
  noEmit: true,
  skipLibCheck: true,
};

/** What the compiler has against files, one line a finding. The files need not be on the disk. */
export function compile(files: ReadonlyMap<string, string>): string[] {
  const at = new Map([...files].map(([name, text]) => [join(root, name), text]));
  const host = ts.createCompilerHost(OPTIONS);
  const { getSourceFile, fileExists, readFile } = host;
  host.getCurrentDirectory = () => root;
  host.fileExists = (name) => at.has(name) || fileExists(name);
  host.readFile = (name) => at.get(name) ?? readFile(name);
  host.getSourceFile = (name, options, ...rest) => {
    const text = at.get(name);
    return text === undefined
      ? getSourceFile.call(host, name, options, ...rest)
      : ts.createSourceFile(name, text, options);
  };
  const program = ts.createProgram([...at.keys()], OPTIONS, host);
  return ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const place = file && start !== undefined ? file.getLineAndCharacterOfPosition(start).line + 1 : 0;
    const name = file?.fileName.slice(root.length + 1) ?? '';
    return `${name}:${place} ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
  });
}

/** A module without its types, as every runtime takes it. */
function javaScript(text: string): string {
  return ts.transpile(text, { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext });
}

/** What a program printed, and how it ended. */
export interface Outcome {
  readonly output: string;
  readonly status: number | null;
}

/** Runs a program in an empty folder. */
export async function run(name: string, text: string): Promise<Outcome> {
  const folder = join(root, 'build/programs');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${name}.js`);
  writeFileSync(file, javaScript(text));
  const place = mkdtempSync(join(tmpdir(), 'aegis-program-'));
  try {
    const child = spawn(process.execPath, [file], { cwd: place, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
    return { output, status };
  } finally {
    rmSync(place, { recursive: true });
  }
}
