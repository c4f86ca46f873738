/** How the rules of the house (tidy.ts) read source files: syntax trees, imports, names. */
import { posix } from 'node:path';
import ts from 'typescript';

/** A file of the project; the path is relative to the root, with forward slashes. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

export type Rule = (files: readonly SourceFile[]) => string[];

export interface Import {
  readonly from: string;
  /** As written. */
  readonly specifier: string;
  /** Path from the root when the specifier is relative, else the specifier. */
  readonly target: string;
}

const trees = new WeakMap<SourceFile, ts.SourceFile>();

export function parse(file: SourceFile): ts.SourceFile {
  let tree = trees.get(file);
  if (tree === undefined) {
    tree = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.ES2022, true);
    trees.set(file, tree);
  }
  return tree;
}

export function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node);
  ts.forEachChild(node, (child) => walk(child, visit));
}

function at(file: SourceFile, node: ts.Node): string {
  return `${file.path}:${parse(file).getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
}

/** Runs a visitor over every node of every file and collects what it objects to. */
export function search(
  files: readonly SourceFile[],
  object: (node: ts.Node, file: SourceFile) => string | undefined,
): string[] {
  const findings: string[] = [];
  for (const file of files) {
    walk(parse(file), (node) => {
      const objection = object(node, file);
      if (objection !== undefined) findings.push(`${at(file, node)} ${objection}`);
    });
  }
  return findings;
}

export const under = (...folders: string[]) => {
  return (file: SourceFile) => folders.some((folder) => file.path.startsWith(`${folder}/`));
};

/** Every import of a file: static, re-exported, dynamic and in type positions. */
export function importsOf(file: SourceFile): Import[] {
  const imports: Import[] = [];
  walk(parse(file), (node) => {
    let literal: ts.Node | undefined;
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) literal = node.moduleSpecifier;
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      literal = node.arguments[0];
    }
    if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) literal = node.argument.literal;
    if (literal === undefined || !ts.isStringLiteralLike(literal)) return;
    const specifier = literal.text;
    const target = specifier.startsWith('.')
      ? posix.normalize(posix.join(posix.dirname(file.path), specifier))
      : specifier;
    imports.push({ from: file.path, specifier, target: withExtension(target, specifier) });
  });
  return imports;
}

/** AssemblyScript also takes imports without an extension. */
function withExtension(target: string, specifier: string): string {
  return specifier.startsWith('.') && posix.extname(target) === '' ? `${target}.ts` : target;
}

/** An identifier that names something of the surroundings, not a property or a declaration of the file's own. */
export function isFreeName(node: ts.Node): node is ts.Identifier {
  if (!ts.isIdentifier(node)) return false;
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  if (ts.isQualifiedName(parent) || ts.isImportSpecifier(parent) || ts.isExportSpecifier(parent))
    return false;
  const named = parent as ts.NamedDeclaration;
  return named.name !== node;
}

// --- the rules ------------------------------------------------------------------------------------------------
