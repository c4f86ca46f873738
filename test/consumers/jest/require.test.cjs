// In Jest: the package by `require`, where Jest can, and by a dynamic import everywhere.
const { mkdtempSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');

async function useStore({ StorageEngine }) {
  const folder = mkdtempSync(join(tmpdir(), 'aegis-jest-'));
  try {
    const engine = await StorageEngine.open({ dataDirectory: folder });
    await engine.put('a', 'b');
    expect(engine.getString('a')).toBe('b');
    await engine.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('jest: a program in CommonJS imports it', async () => {
  await useStore(await import('aegis-storage'));
});

const [major, minor] = process.versions.node.split('.').map(Number);
const canRequire = major > 24 || (major === 24 && minor >= 9);

(canRequire ? test : test.skip)('jest: a program in CommonJS requires it', async () => {
  await useStore(require('aegis-storage'));
});
