// In Jest: the package by `import`, with a local store and zstd.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Block, StorageEngine } from 'aegis-storage';

test('jest: a program in ES modules imports it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'aegis-jest-'));
  try {
    const engine = await StorageEngine.open({ dataDirectory: folder, compression: 'zstd' });
    await engine.put('a', 'b');
    expect(engine.getString('a')).toBe('b');
    await engine.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
  expect(new Block(new Uint8Array(999)).withCompression('zstd').header.codec).toBe('zstd');
});
