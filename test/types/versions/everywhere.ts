/* What a program does with the package that has neither the DOM nor Node's types, with every TypeScript since 5.0. */
import * as main from 'aegis-storage';
import * as local from 'aegis-storage/local';
import * as lz4 from 'aegis-storage/lz4-wasm';
import * as testing from 'aegis-storage/testing';
import 'aegis-storage/zstd';

export const everything = [main, local, lz4, testing];

/** Bytes as people have them, in memory of any kind. */
declare const given: Uint8Array;

export async function use(): Promise<Uint8Array[]> {
  // A setting is written as it comes: none has to be there, and one may be undefined.
  const mine: main.StorageConfig = { pageSize: 8192, bufferPoolSize: '16MB' };
  const none: main.StorageConfig = {};
  const old: Partial<main.StorageConfig> = { ...mine, ...none, ...main.loadConfig('') };
  const engine: main.StorageEngine = await main.StorageEngine.open(old);
  const inForce: main.StorageConfig = engine.config;
  const pool: number = engine.config.bufferPoolSize;
  await engine.put('key', given);
  await engine.batch([
    { type: 'put', key: given, value: 'text' },
    { type: 'delete', key: 'other', tree: 'named' },
  ]);
  const found: Uint8Array[] = [given.subarray(pool)];
  const value: Uint8Array | undefined = engine.get(given);
  const own: main.OwnBytes | undefined = engine.get('key');
  if (value !== undefined && own !== undefined) found.push(value, own);
  for (const [key, of] of engine.scan({ prefix: given })) found.push(key, of);
  for await (const [key] of engine.scan()) found.push(key);
  for (const key of engine.tree('named').scan().keys()) found.push(key);
  await engine.transaction((tx: main.Transaction) => tx.put('key', 'value'), { maxRetries: 3 });
  const tx = engine.beginTransaction({ isolation: 'serializable' });
  tx[Symbol.dispose]();
  const disposable: Disposable = engine.snapshot();
  disposable[Symbol.dispose]();
  const block = new main.Block(given, { type: 'document' }).withCompression('lz4');
  found.push(block.data, block.serialize(), main.Block.deserialize(given).data);
  const backend: main.StorageBackend = new testing.SimulatedBackend();
  for (const bytes of new testing.SimulatedBackend().files().values()) found.push(bytes);
  await engine.backup(backend);
  const codec: main.Codec = lz4.lz4Wasm;
  const again = await main.StorageEngine.open({ ...inForce, codecs: { lz4: codec } });
  const asyncDisposable: AsyncDisposable = again;
  await asyncDisposable[Symbol.asyncDispose]();
  return found;
}

export function codeOf(error: unknown): main.AegisErrorCode | undefined {
  return error instanceof main.AegisError ? error.code : undefined;
}
