/*
 * What the public API documents: the error codes that each method names in its docstring. The docstrings are the
 * contract, so the tests read them instead of a list of their own.
 *
 * `@throws AegisError` is followed by codes and by references ("as `get`"), which stand for what the method of that
 * name in the same class may throw.
 */
import { readFileSync } from 'node:fs';
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

/** The codes that each method of a class names, by the method's name. */
export function documentedCodes(of: PublicClass): ReadonlyMap<string, ReadonlySet<AegisErrorCode>> {
  const throws = new Map<string, string>();
  for (let name: string | undefined = of; name !== undefined; ) {
    const file: string = { ...BASE_CLASSES, ...PUBLIC_CLASSES }[name]!;
    const text = readFileSync(join(source, file), 'utf8');
    const begin = text.search(new RegExp(`export (?:abstract )?class ${name} `));
    const body = text.slice(begin, text.indexOf('\n}\n', begin));
    for (const [, comment, method] of body.matchAll(METHOD)) {
      const after = /@throws AegisError([\s\S]*)/.exec(comment!)?.[1] ?? '';
      if (!throws.has(method!)) throws.set(method!, after.replaceAll(/\n\s*\*/g, ' '));
    }
    name = /^.*? extends (\w+)/.exec(body)?.[1];
  }
  const known = new Set(allCodes());
  const codesOf = (name: string, depth: number): Set<AegisErrorCode> => {
    const codes = new Set<AegisErrorCode>();
    if (depth > 4 || !throws.has(name)) throw new Error(`${of}: what does ${name} throw?`);
    for (const [, word] of throws.get(name)!.matchAll(/`(\w+)`/g)) {
      if (known.has(word as AegisErrorCode)) codes.add(word as AegisErrorCode);
      else if (/^[A-Z_]+$/.test(word!)) throw new Error(`${of}.${name} names ${word}, which is no code`);
      else if (throws.has(word!)) for (const code of codesOf(word!, depth + 1)) codes.add(code);
    }
    return codes;
  };
  return new Map([...throws.keys()].map((name) => [name, codesOf(name, 0)]));
}
