import { expect, test } from 'vitest';
import { StorageEngine } from '../../src/engine.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
test('scratch: runs', async () => {
  const backend = new MemoryBackend();
  const options = { backend, compression: 'none', walEnabled: true, pageSize: 4096, bufferPoolSize: 16 * 4096 } as const;
  let db = await StorageEngine.open(options);
  for (let i = 0; i < 1500; i++) {
    db.putSync(`k${i}`, 'x'.repeat(900));
    await db.checkpoint();
    for (let j = 0; j < 40; ++j) db.get(`k${Math.floor(Math.random() * i)}`);
    db.deleteSync('nothing');
    await db.checkpoint();
    const report = i % 10 === 0 ? await db.verify() : { ok: true };
    if (!report.ok) { console.log(i, report); break; }
    const copy = backend.copy();
    const again = await StorageEngine.open({ ...options, backend: copy, readOnly: true }).catch((e) => { console.log(i, e); return undefined; });
    if (!again) break;
    await again.close();
  }
  await db.close();
  expect(1).toBe(1);
});
