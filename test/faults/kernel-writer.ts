/*
 * The program whose system calls fail: it tells a short story on a local store and says on standard output, at once,
 * what became of each commit. Commit n writes two keys.
 *   begin N    done N    refused N CODE ERRNO    opened    failed TEXT (what should not have happened)
 */
import { writeSync } from 'node:fs';
import type { StorageConfig } from '../../src/config/config.ts';
import { AegisError, StorageEngine } from '../../src/index.ts';

const [, , directory, begin] = process.argv as [string, string, string, string];
let n = Number(begin);

function say(line: string): void {
  writeSync(1, `${line}\n`);
}

process.on('unhandledRejection', (error) => say(`failed unhandled ${String(error)}`));

/** Does something that may be refused; says so. */
async function attempt(name: string, work: () => unknown): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (!(error instanceof AegisError)) {
      say(`failed ${name} ${error instanceof Error ? error.stack?.replaceAll('\n', ' | ') : error}`);
    } else say(`refused ${name} ${error.code} ${error.errno ?? '-'}`);
    return false;
  }
}

async function commit(engine: StorageEngine, size: number): Promise<void> {
  const own = ++n;
  const operations = ['a', 'b'].map(
    (key) => ({ type: 'put', key: `${key} ${own}`, value: `${own}`.padEnd(size, '.') }) as const,
  );
  say(`begin ${own}`);
  const done = await attempt(`${own}`, () =>
    own % 3 === 0 ? engine.batchSync(operations) : engine.batch(operations),
  );
  if (done) say(`done ${own}`);
}

async function live(config: Partial<StorageConfig>, sizes: readonly number[]): Promise<void> {
  let engine: StorageEngine | undefined;
  await attempt('open', async () => {
    engine = await StorageEngine.open({
      backend: 'local',
      dataDirectory: directory,
      pageSize: 4096,
      bufferPoolSize: '64KB',
      checkpointWalSize: '512KB',
      ...config,
    });
  });
  if (!engine) return;
  const store = engine;
  say('opened');
  for (const [at, size] of sizes.entries()) {
    await commit(store, size);
    if (at === 2) await attempt('checkpoint', () => store.checkpoint());
  }
  await Promise.all([commit(store, 50), commit(store, 60)]);
  await attempt('close', () => store.close());
}

await live({}, [10, 2000, 30, 100_000, 90_000, 20]);
await live({}, [10, 110_000]);
await live({ walEnabled: false }, []);
say('end');
