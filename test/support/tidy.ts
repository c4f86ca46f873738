/**
 * The rules of the house as functions: each takes source files and answers what breaks it, one line per finding.
 * test/tidy.test.ts runs them over the project and over bad samples, so that a rule that cannot fail is noticed.
 *
 * Names are read from the syntax tree, never from raw text, so that a word in a comment or a string breaks nothing.
 */
import ts from 'typescript';
import { LONG_FILES } from './long-files.ts';
import {
  importsOf,
  isFreeName,
  parse,
  type Rule,
  type SourceFile,
  search,
  under,
  walk,
} from './tidy-source.ts';

/** Only src/core/wasm.ts meets WebAssembly, the built modules and what an instance exports. */
export const oneDoor: Rule = (files) => {
  const outside = files.filter((file) => under('src')(file) && roomOf(file.path)?.[1] !== 'core');
  const uses = search(outside, (node) => {
    if (isFreeName(node) && node.text === 'WebAssembly')
      return 'uses WebAssembly; only src/core/wasm.ts does';
    return undefined;
  });
  const crossings = outside
    .flatMap(importsOf)
    .filter(({ target }) => target.startsWith('build/') || /^assembly\/(?!layout\.ts$)/.test(target))
    .map(({ from, specifier }) => `${from} imports ${specifier}; only src/core/wasm.ts does`);
  return [...uses, ...crossings];
};

const views = new Set(['u8', 'u32', 'i32', 'f64']);

/** A view of linear memory is another one after the pool has grown; no name of its own. The codecs' core has no pool. */
export const viewsAreNotKept: Rule = (files) => {
  const pooled = files.filter((file) => under('src')(file) && !/^src\/(core|codec)\//.test(file.path));
  return search(pooled, (node) => {
    const isTaken =
      ts.isBindingElement(node) && views.has((node.propertyName ?? node.name).getText()) && 'a view is taken';
    const value =
      ts.isVariableDeclaration(node) || ts.isPropertyDeclaration(node) ? node.initializer : undefined;
    const isKept =
      value && ts.isPropertyAccessExpression(value) && views.has(value.name.text) && 'a view is kept';
    return isTaken || isKept || undefined;
  });
};

const mayImportNode = /^src\/(local\.ts|backend\/(local|lock)(-\w+)?\.ts|cli\/.*)$/;
const builtins =
  /^(node:.*|bun(:.*)?|assert|buffer|child_process|crypto|fs|os|path|process|stream|url|util|worker_threads|zlib)(\/|$)/;

/** Only the local backend, its lock and the command line import what a browser lacks. */
export const nodeStaysLocal: Rule = (files) =>
  files
    .filter((file) => under('src', 'assembly')(file) && !mayImportNode.test(file.path))
    .flatMap(importsOf)
    .filter(({ specifier }) => builtins.test(specifier))
    .map(({ from, specifier }) => `${from} imports ${specifier}`);

const mayTouchSurroundings = /^src\/(local\.ts|backend\/((host|local|lock)(-\w+)?)\.ts|cli\/.*)$/;
const surroundings = new Set(
  ['Date', 'performance', 'setTimeout', 'setInterval', 'setImmediate', 'process', 'crypto'].concat([
    'navigator',
    'localStorage',
    'window',
    'document',
    'console',
    'Deno',
    'Bun',
    'require',
    'fetch',
  ]),
);

/** No clock, randomness, timer or environment but through the backend's host. */
export const nothingFromOutside: Rule = (files) =>
  search(
    files.filter((file) => under('src', 'assembly')(file) && !mayTouchSurroundings.test(file.path)),
    (node) => {
      if (isFreeName(node) && surroundings.has(node.text)) return `uses ${node.text}`;
      if (!ts.isPropertyAccessExpression(node) || !ts.isIdentifier(node.expression)) return undefined;
      const name = `${node.expression.text}.${node.name.text}`;
      if (name === 'Math.random' || name === 'Math.seedRandom') return `uses ${name}`;
      if (node.expression.text === 'globalThis' && surroundings.has(node.name.text)) return `uses ${name}`;
      return undefined;
    },
  );

/** Height of each room of the house; an arrow between rooms goes from a higher to a lower one. */
const rooms: readonly (readonly [RegExp, string, number])[] = [
  [/^assembly\/layout\.ts$/, 'layout', 0],
  // The core in WebAssembly.
  [/^assembly\/memory\//, 'memory', 1],
  [/^assembly\/page\//, 'page', 2],
  [/^assembly\/pool\//, 'pool', 3],
  [/^assembly\/tree\//, 'tree', 4],
  [/^assembly\/blocks\//, 'blocks', 5],
  [/^assembly\/log\//, 'log', 6],
  [/^assembly\/checks\//, 'checks', 6],
  [/^assembly\/(host|index)\.ts$/, 'exports', 7],
  // What drives it.
  [/^src\/base\//, 'base', 1],
  [/^src\/core\//, 'core', 2],
  [/^src\/backend\//, 'backend', 3],
  [/^src\/codec\//, 'codec', 4],
  [/^src\/config\//, 'config', 5],
  [/^src\/store\//, 'store', 6],
  [/^src\/wal\//, 'wal', 6],
  [/^src\/maintenance\//, 'maintenance', 7],
  [/^src\/txn\//, 'txn', 8],
  [/^src\/engine\//, 'engine', 9],
  [/^src\/testing\//, 'testing', 10],
  [/^src\/(index|local|zstd)\.ts$/, 'entry', 10],
  [/^src\/cli\//, 'cli', 11],
];

function roomOf(path: string): readonly [RegExp, string, number] | undefined {
  return rooms.find(([pattern]) => pattern.test(path));
}

/** Arrows between rooms point down only; rooms of the same height do not know each other. */
export const arrowsPointDown: Rule = (files) => {
  const findings: string[] = [];
  for (const { from, target } of files.filter(under('src', 'assembly')).flatMap(importsOf)) {
    const [source, goal] = [roomOf(from), roomOf(target)];
    if (source === undefined) findings.push(`${from} lies in no room of the house`);
    if (source === undefined || goal === undefined || source[1] === goal[1]) continue;
    if (goal[2] >= source[2]) findings.push(`${from} (${source[1]}) imports ${target} (${goal[1]})`);
  }
  return findings;
};

/** No file reaches itself through its imports, types included. */
export const noCircles: Rule = (files) => {
  const graph = new Map(
    files
      .filter(under('src', 'assembly'))
      .map((file) => [file.path, importsOf(file).map(({ target }) => target)]),
  );
  const done = new Set<string>();
  const findings: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) findings.push([...trail.slice(start), path].join(' -> '));
    if (start >= 0 || done.has(path)) return;
    for (const target of graph.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  return findings;
};

/** The core imports nothing but itself, so that asc alone can build it. */
export const coreStandsAlone: Rule = (files) =>
  files
    .filter(under('assembly'))
    .flatMap(importsOf)
    .filter(({ target }) => !target.startsWith('assembly/'))
    .map(({ from, specifier }) => `${from} imports ${specifier}`);

/** No `any`, default export, enum or namespace. */
export const plainLanguage: Rule = (files) =>
  search(files, (node, file) => {
    if (node.kind === ts.SyntaxKind.AnyKeyword) return 'says any';
    if (ts.isEnumDeclaration(node)) return 'declares an enum';
    if (ts.isModuleDeclaration(node) && (node.flags & ts.NodeFlags.GlobalAugmentation) === 0) {
      return 'declares a namespace';
    }
    if (!under('src', 'assembly')(file)) return undefined; // tools ask for default exports in their own files
    if (ts.isExportSpecifier(node) && node.name.text === 'default') return 'exports a default';
    if (ts.isExportAssignment(node) || node.kind === ts.SyntaxKind.DefaultKeyword) {
      return ts.isDefaultClause(node.parent) || ts.isDefaultClause(node) ? undefined : 'exports a default';
    }
    return undefined;
  });

const operand = '(?:[A-Z][A-Z0-9_]*|0x[0-9a-f]+|[0-9]+)';
const layoutLine = new RegExp(
  `^export const [A-Z][A-Z0-9_]* = \\(?${operand}(?: (?:\\+|-|\\*|<<|\\|) \\(?${operand}\\)?)*;(?: //.*)?$`,
);

/** assembly/layout.ts stays in the few words that asc and tsc understand alike. */
export const layoutIsNarrow: Rule = (files) => {
  const findings: string[] = [];
  for (const file of files.filter(({ path }) => path === 'assembly/layout.ts')) {
    const lines = file.text
      .replace(/^\/\*[\s\S]*?\*\//, (comment) => comment.replace(/[^\n]/g, ''))
      .split('\n');
    for (const [index, line] of lines.entries()) {
      if (line === '' || line.startsWith('//')) continue;
      const numbers = [...line.replace(/\/\/.*/, '').matchAll(/\b(0x[0-9a-f]+|[0-9]+)\b/g)].map(([text]) =>
        Number(text),
      );
      if (!layoutLine.test(line)) findings.push(`${file.path}:${index + 1} is not a plain constant: ${line}`);
      else if (numbers.some((number) => number >= 2 ** 31))
        findings.push(`${file.path}:${index + 1} is 2^31 or more`);
    }
  }
  return findings;
};

/** Files stay short enough to be read in one sitting, but for those that are listed with a reason. */
export const shortFiles: Rule = (files) =>
  files
    .filter(under('src', 'assembly', 'test'))
    .map((file) => [file.path, file.text.trimEnd().split('\n').length] as const)
    .filter(([path, lines]) => lines > 400 !== path in LONG_FILES)
    .map(([path, lines]) => `${path} has ${lines} lines, and is ${lines > 400 ? 'not ' : ''}listed as long`);

/** Every module says first what it is for. */
export const headerFirst: Rule = (files) =>
  files
    .filter((file) => under('src', 'assembly')(file) && !/^(#!.*\n)?\/\*/.test(file.text))
    .map(({ path }) => `${path} does not open with a comment that says what it is for`);

/** Work left undone is an issue, not a comment. */
export const nothingLeftUndone: Rule = (files) =>
  files.flatMap((file) =>
    [
      ...file.text.matchAll(
        new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'].join('|')})\\b`, 'g'),
      ),
    ].map(([word]) => `${file.path} says ${word}`),
  );

/** Nothing names a place of one machine, nor a registry, nor a folder beside the project. */
export const noForeignPlaces: Rule = (files) => {
  const places = [
    /(?<![\w.])\/(work|root|home|Users)\/\w/,
    /shared\/desig[n]/,
    /\bissues sho[w]/,
    /"resolved": "(?=http)(?!https:\/\/registry\.npmjs\.org\/)/,
  ];
  return files.flatMap((file) =>
    places.flatMap((place) => {
      const found = place.exec(file.text);
      return found === null ? [] : [`${file.path} names ${found[0]}`];
    }),
  );
};

// --- rules for tests -------------------------------------------------------------------------------------------

/** What a test file calls to define a test: `test(…)`, `it(…)`, `test.each(…)(…)` and the like. */
function testCall(node: ts.Node): { words: string[]; name: ts.Expression; body: ts.Expression } | undefined {
  if (!ts.isCallExpression(node)) return undefined;
  const words: string[] = [];
  let callee: ts.Expression = node.expression;
  while (!ts.isIdentifier(callee)) {
    if (ts.isPropertyAccessExpression(callee)) words.push(callee.name.text);
    else if (!ts.isCallExpression(callee) && !ts.isTaggedTemplateExpression(callee)) return undefined;
    callee = ts.isTaggedTemplateExpression(callee) ? callee.tag : callee.expression;
  }
  const [name] = node.arguments;
  const body = node.arguments.find(
    (argument) => ts.isArrowFunction(argument) || ts.isFunctionExpression(argument),
  );
  if (!['test', 'it'].includes(callee.text) || name === undefined || body === undefined) return undefined;
  return { words, name, body };
}

/** No test is switched off or alone; what a machine cannot run is skipped with `skipIf` or `context.skip(reason)`. */
export const everyTestRuns: Rule = (files) =>
  search(files.filter(isTest), (node) => {
    if (!ts.isPropertyAccessExpression(node) || !ts.isIdentifier(node.expression)) return undefined;
    if (!['test', 'it', 'describe', 'suite'].includes(node.expression.text)) return undefined;
    return ['skip', 'only', 'todo', 'fails'].includes(node.name.text) ? `has ${node.getText()}` : undefined;
  });

function isTest(file: SourceFile): boolean {
  return /^test\/.*\.test\.ts$/.test(file.path);
}

const asserting = /^(expect|assert|require)/;

function callsOneOf(node: ts.Node, names: ReadonlySet<string>): boolean {
  let found = false;
  walk(node, (inner) => {
    if (!ts.isCallExpression(inner)) return;
    const { expression } = inner;
    const name = ts.isPropertyAccessExpression(expression) ? expression.name : expression;
    if (ts.isIdentifier(name) && (asserting.test(name.text) || names.has(name.text))) found = true;
  });
  return found;
}

/** Functions of a file that assert, directly or through one another. */
function assertingFunctions(file: SourceFile): Set<string> {
  const functions: [string, ts.Node][] = [];
  walk(parse(file), (node) => {
    const named =
      ts.isFunctionDeclaration(node) || ts.isVariableDeclaration(node) || ts.isMethodDeclaration(node);
    if (named && node.name !== undefined && ts.isIdentifier(node.name))
      functions.push([node.name.text, node]);
  });
  const names = new Set<string>();
  for (let before = -1; before !== names.size; ) {
    before = names.size;
    for (const [name, node] of functions) if (callsOneOf(node, names)) names.add(name);
  }
  return names;
}

/** Every test asserts something: itself, or through a function of its file, or one named expect…, assert…, require…. */
export const everyTestAsserts: Rule = (files) =>
  files.filter(isTest).flatMap((file) => {
    const names = assertingFunctions(file);
    return search([file], (node) => {
      const call = testCall(node);
      return call === undefined || callsOneOf(call.body, names)
        ? undefined
        : `asserts nothing: ${call.name.getText()}`;
    });
  });

/** A test's name is its module, then the fact. */
export const testsAreNamed: Rule = (files) =>
  search(files.filter(isTest), (node) => {
    const name = testCall(node)?.name;
    if (name === undefined || !(ts.isStringLiteralLike(name) || ts.isTemplateExpression(name)))
      return undefined;
    return /^['`"][\w$][^:]*: \S/.test(name.getText())
      ? undefined
      : `is not "module: fact": ${name.getText()}`;
  });
