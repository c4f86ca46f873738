/*
 * What the public API documents: the error codes that each method names in its docstring. The docstrings are the
 * contract, so the tests read them instead of a list of their own.
 *
 * `@throws AegisError` ends a docstring and is followed by every code: an editor shows one method, so a reference to
 * another one ("as `get`") would say nothing there.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AegisErrorCode } from '../../src/base/errors.ts';

const source = join(import.meta.dirname, '../../src');

/** The classes people hold, and where each is; what it inherits is looked up where its base class is. */
export const PUBLIC_CLASSES = {
  StorageEngine: 'engine/engine.ts',
  Transaction: 'txn/transaction.ts',
  TransactionTree: 'txn/transaction-tree.ts',
  Tree: 'engine/tree.ts',
  Snapshot: 'engine/snapshot.ts',
  SnapshotTree: 'engine/snapshot.ts',
  Scan: 'txn/scan.ts',
} as const;

export type PublicClass = keyof typeof PUBLIC_CLASSES;

const BASE_CLASSES: Readonly<Record<string, string>> = {
  KeyReader: 'engine/key-reader.ts',
  KeySpace: 'engine/key-space.ts',
  TransactionSpace: 'txn/transaction-space.ts',
};

const METHOD =
  /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*\n {2}(?:static |async |\*)*(\[?[A-Za-z][\w.]*\]?)\s*(?:<\w+>)?\(/g;

/** Every code there is, as the type lists them. */
export function allCodes(): AegisErrorCode[] {
  const text = readFileSync(join(source, 'base/errors.ts'), 'utf8');
  const list = /export type AegisErrorCode =([\s\S]*?)\n\n/.exec(text)?.[1] ?? '';
  return [...list.matchAll(/\| '([A-Z_]+)'/g)].map(([, code]) => code as AegisErrorCode);
}

/** The methods of a class, its own and inherited, with their docstrings. */
function docstringsOf(of: PublicClass): ReadonlyMap<string, string> {
  const docstrings = new Map<string, string>();
  for (let name: string | undefined = of; name !== undefined; ) {
    const file: string = { ...BASE_CLASSES, ...PUBLIC_CLASSES }[name]!;
    const text = readFileSync(join(source, file), 'utf8');
    const begin = text.search(new RegExp(`export (?:abstract )?class ${name} `));
    const body = text.slice(begin, text.indexOf('\n}\n', begin));
    for (const [, comment, method] of body.matchAll(METHOD)) {
      if (!docstrings.has(method!)) docstrings.set(method!, comment!.replaceAll(/^\s*\* ?/gm, ''));
    }
    name = /^.*? extends (\w+)/.exec(body)?.[1];
  }
  return docstrings;
}

/** The codes that each method of a class names, by the method's name. */
export function documentedCodes(of: PublicClass): ReadonlyMap<string, ReadonlySet<AegisErrorCode>> {
  const known = new Set(allCodes());
  const codesOf = (name: string, text: string): Set<AegisErrorCode> => {
    if (/\b[Aa]s `/.test(text)) throw new Error(`${of}.${name} refers to another method: ${text}`);
    const codes = new Set<AegisErrorCode>();
    for (const [, word] of text.matchAll(/`([A-Z][A-Z_]+)`/g)) {
      if (!known.has(word as AegisErrorCode))
        throw new Error(`${of}.${name} names ${word}, which is no code`);
      codes.add(word as AegisErrorCode);
    }
    return codes;
  };
  return new Map(
    [...docstringsOf(of)].map(([name, docstring]) => {
      const after = /@throws AegisError([\s\S]*)/.exec(docstring)?.[1] ?? '';
      return [name, codesOf(name, after)];
    }),
  );
}

/** An example in a docstring: a piece of a program that has an `engine`. */
export interface DocumentedExample {
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

/** The examples in all docstrings. */
export function documentedExamples(): DocumentedExample[] {
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) =>
    /\.ts$/.test(file),
  );
  return files.sort().flatMap((file) => {
    const text = readFileSync(join(source, file), 'utf8');
    return [...text.matchAll(/^ *\* @example\n((?: *\*(?: (?!@).*)?\n)+)/gm)].map((match) => ({
      file,
      line: text.slice(0, match.index).split('\n').length + 1,
      text: match[1]!.replaceAll(/^ *\* ?/gm, '').trimEnd(),
    }));
  });
}
