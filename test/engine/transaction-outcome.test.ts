/* What `engine.transaction` says of how it ended: it resolves only after the commit, or when `work` itself aborted. */
import { describe, expect, test } from 'vitest';
import { StorageEngine, type Transaction } from '../../src/index.ts';
import { SimulatedBackend } from '../../src/testing/index.ts';

const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));
const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'ok',
    (error: { code?: string; message: string }) => error.code ?? error.message,
  );

describe.each(['snapshot', 'serializable'] as const)('%s', (isolation) => {
  test('transaction: it rejects when the store is closed under its work, whatever the work has done', async () => {
    for (const write of [true, false]) {
      const engine = await StorageEngine.open({ backend: new SimulatedBackend({ seed: 1 }) });
      const said = codeOf(
        engine.transaction(
          async (tx) => {
            if (write) tx.tree('t').put('key', 'value');
            await turn();
            await turn();
            return 'saved';
          },
          { isolation },
        ),
      );
      await engine.close();
      expect(await said).toBe('CLOSED');
    }
  });

  test('transaction: work that aborts by itself is answered, and nothing is there', async () => {
    const engine = await StorageEngine.open();
    const answer = await engine.transaction(
      (tx) => {
        tx.put('key', 'value');
        tx.abort();
        return 'no';
      },
      { isolation },
    );
    expect([answer, engine.has('key')]).toEqual(['no', false]);
    await engine.close();
  });

  test('transaction: a commit that the work has begun and does not wait for is waited for, and its conflict is tried again', async () => {
    const engine = await StorageEngine.open();
    await engine.put('n', '0');
    let tries = 0;
    await engine.transaction(
      (tx) => {
        const n = Number(tx.getString('n'));
        if (++tries === 1) engine.putSync('n', '5');
        tx.put('n', String(n + 1));
        tx.commit().catch(() => undefined);
      },
      { isolation },
    );
    expect([tries, engine.getString('n')]).toEqual([2, '6']);
    await engine.close();
  });

  test('transaction: it is durable and visible when it resolves, also if the work did not wait for its commit', async () => {
    const engine = await StorageEngine.open({ backend: new SimulatedBackend({ seed: 1 }) });
    const work = (tx: Transaction): void => {
      tx.put('key', 'value');
      tx.commit().catch(() => undefined);
    };
    await engine.transaction(work, { isolation });
    expect(engine.getString('key')).toBe('value');
    await engine.close();
  });

  test('transaction: a failure inside that ended the transaction is not lost with the error that the work kept to itself', async () => {
    const engine = await StorageEngine.open();
    await engine.put('n', '0');
    const said = codeOf(
      engine.transaction(
        async (tx) => {
          tx.put('n', String(Number(tx.getString('n')) + 1));
          engine.putSync('n', '5');
          try {
            tx.commitSync();
          } catch {}
          return 'done';
        },
        { isolation, maxRetries: 2 },
      ),
    );
    expect(await said).toBe('CONFLICT');
    expect(engine.getString('n')).toBe('5');
    await engine.close();
  });

  test('transaction: two hundred callers that count up one key are all let through, durable ones too', async () => {
    const engine = await StorageEngine.open({ backend: new SimulatedBackend({ seed: 1 }) });
    await engine.put('n', '0');
    const add = () =>
      engine.transaction(
        async (tx) => {
          const n = Number(tx.getString('n'));
          await Promise.resolve();
          tx.put('n', String(n + 1));
        },
        { isolation },
      );
    // Half of them come while the others have lost already.
    const first = Array.from({ length: 100 }, add);
    await turn();
    await Promise.all([...first, ...Array.from({ length: 100 }, add)]);
    expect(engine.getString('n')).toBe('200');
    await engine.close();
  });

  test('transaction: a transaction inside another one that has its turn does not wait for it for ever', async () => {
    const engine = await StorageEngine.open();
    await engine.put('n', '0');
    let tries = 0;
    await engine.transaction(
      async (tx) => {
        tx.put('n', `${Number(tx.getString('n')) + 1}`);
        if (++tries === 1) engine.putSync('n', '1');
        if (tries !== 2) return;
        let inner = 0;
        await engine.transaction((other) => {
          other.put('m', String(other.getString('m')));
          if (++inner === 1) engine.putSync('m', 'taken');
        });
      },
      { isolation },
    );
    expect([tries, engine.getString('n')]).toEqual([2, '2']);
    await engine.close();
  });
});
