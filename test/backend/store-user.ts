/* A program that opens the store in its folder, uses it and closes it, and says on one line what came of it. */
import { StorageEngine } from '../../src/index.ts';

const arguments_ = (globalThis as { Deno?: { args: string[] } }).Deno?.args ?? process.argv.slice(2);
const [dataDirectory = '', how = ''] = arguments_;

async function use(): Promise<string> {
  const engine = await StorageEngine.open({ backend: 'local', dataDirectory, checkpointWalSize: '512KB' });
  if (how === 'twice') {
    const again = StorageEngine.open({ backend: 'local', dataDirectory });
    await again.catch((error: Error & { code: string }) => console.log(error.code, error.message));
  }
  for (let i = 0; i < 100; i++) await engine.put(`key ${i}`, 'x'.repeat(10_000));
  engine.putSync('last', 'y');
  await engine.checkpoint();
  if (how === 'die') process.exit(0);
  await engine.close();
  const found = await StorageEngine.open({ backend: 'local', dataDirectory });
  const { ok } = await found.verify();
  const count = found.count();
  await found.close();
  return `ok ${ok} ${count}`;
}

console.log(
  await use().catch((error: Error & { code?: string }) => `${error.name} ${error.code} ${error.message}`),
);
