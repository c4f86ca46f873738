/*
 * A write that fails inside a transaction is that transaction's trouble alone. The pages of a long value that it was to
 * free belong to its own tree, and are nobody else's to free, whoever writes next.
 */
import { expect, onTestFinished, test } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { StorageEngine, type Transaction } from '../../src/index.ts';

const ROWS = 150;
const OWN = 300;
const row = (n: number): string => `row ${String(n).padStart(4, '0')}`;

function fill(tx: Transaction, tag: string): void {
  for (let n = 0; n < OWN; ++n) tx.put(tag + String(n).padStart(4, '0'), 'y'.repeat(900));
}

/** What the failing transaction does to its long value. */
const changes: Record<string, (tx: Transaction) => void> = {
  'a short value over it': (tx) => tx.put('key', 'short'),
  'a long value over it': (tx) => tx.put('key', new Uint8Array(30_000).fill(2)),
  'its deletion': (tx) => tx.delete('key'),
  'the way back to a savepoint': (tx) => tx.rollbackTo(tx.savepoint()),
};

test.each(Object.keys(changes))('failed overwrite: %s, whichever read fails', async (name) => {
  for (const failing of [1, 2]) {
    for (const errno of ['EIO', 'ENOSPC'] as const) {
      const disk = new SimulatedBackend({ seed: 3 });
      const engine = await StorageEngine.open({
        backend: disk,
        pageSize: 4096,
        bufferPoolSize: '64KB',
        compression: 'none',
      });
      onTestFinished(() => engine.close().catch(() => undefined));
      for (let n = 0; n < ROWS; ++n) await engine.put(row(n), 'x'.repeat(800));
      const first = engine.beginTransaction();
      first.put('key', new Uint8Array(40_000).fill(1));
      for (let n = 0; n < ROWS; ++n) engine.get(row(n));
      let calls = 0;
      disk.plan = (call) => {
        const isTheirs = call.operation === (errno === 'EIO' ? 'read' : 'write') && call.file === 'data';
        return isTheirs && ++calls === failing ? { errno } : undefined;
      };
      try {
        changes[name]?.(first);
      } catch {
        // Its trouble.
      }
      disk.plan = () => undefined;
      const second = engine.beginTransaction();
      fill(second, 'second/');
      first.abort();
      const third = engine.beginTransaction();
      fill(third, 'third/');
      const what = `${errno} at call ${failing}`;
      expect(second.count({ prefix: 'second/' }), what).toBe(OWN);
      expect(second.count({ prefix: 'third/' }), what).toBe(0);
      expect(third.count({ prefix: 'third/' }), what).toBe(OWN);
      second.commitSync();
      expect(engine.count({ prefix: 'second/' }), what).toBe(OWN);
      third.abort();
      expect(await engine.verify()).toMatchObject({ ok: true });
    }
  }
});
