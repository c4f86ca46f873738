/*
 * What a user installs: the files that package.json names, built. `npm run build` must have run before.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = new URL('../', import.meta.url);
const manifest: unknown = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));

function filesNamed(value: unknown): string[] {
  if (typeof value === 'string') return /^(\.\/)?build\/[^*]+\.\w+$/.test(value) ? [value] : [];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(filesNamed) : [];
}

/** Imports a built file; the source stands for its types. */
async function built<T>(name: string): Promise<T> {
  return (await import(new URL(`build/${name}.js`, root).href)) as T;
}
type Main = typeof import('../src/index.ts');
type Local = typeof import('../src/local.ts');

test('package: every built file that package.json names is there', () => {
  const files = filesNamed(manifest);
  expect(files.length).toBeGreaterThan(7);
  expect(files.filter((file) => !existsSync(new URL(file, root)))).toEqual([]);
});

test('package: the declarations name no file outside the package', () => {
  const text = readFileSync(new URL('build/types/src/index.d.ts', root), 'utf8');
  expect(text).not.toMatch(/build\/wasm|node_modules/);
});

test('package: the declarations say nothing that TypeScript 5.0 cannot read', () => {
  const types = new URL('build/types/', root);
  const files = readdirSync(types, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.d.ts'),
  );
  const code = (name: string) =>
    readFileSync(new URL(name, types), 'utf8').replaceAll(/\/\*[\s\S]*?\*\//g, '');
  const generic = /\b(Uint8Array|DataView|\w+Array)<ArrayBuffer|\bArrayBufferView<|reference lib=/;
  expect(files.length).toBeGreaterThan(100);
  expect(files.filter((name) => generic.test(code(name)))).toEqual([]);
});

test('package: every entry throws the same AegisError', async () => {
  const { AegisError, StorageEngine } = await built<Main>('index');
  const { LocalBackend } = await built<Local>('local');
  const directory = mkdtempSync(join(tmpdir(), 'aegis-package-'));
  try {
    const open = async () => new LocalBackend(directory).open('absent', { create: false });
    await expect(open()).rejects.toBeInstanceOf(AegisError);
    await expect(StorageEngine.open({ pageSize: 1 })).rejects.toBeInstanceOf(AegisError);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('package: the browser bundle has a memory store and says that it has no local one', async () => {
  const { StorageEngine } = await built<Main>('browser');
  const db = await StorageEngine.open();
  await db.put('k', 'v');
  expect(db.getString('k')).toBe('v');
  await db.close();
  await expect(StorageEngine.open({ backend: 'local' })).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  await expect(StorageEngine.open({ dataDirectory: 'x' })).rejects.toMatchObject({ code: 'UNSUPPORTED' });
});

test('package: what a browser gets as the local backend says that there is none, as an error of the package', async () => {
  const { AegisError } = await built<Main>('browser');
  const { LocalBackend } = await built<Local>('browser-local');
  let error: unknown;
  try {
    new LocalBackend('folder');
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(AegisError);
  expect(error).toMatchObject({ code: 'UNSUPPORTED' });
});
