/* Where AbortSignal is known (the DOM, or @types/node), a transaction takes one, and nothing else. */
import type { RetryOptions, StorageEngine } from 'aegis-storage';

export function run(engine: StorageEngine, signal: AbortSignal): Promise<number> {
  const known: AbortSignal | undefined = ({ signal } as RetryOptions).signal;
  known?.throwIfAborted();
  return engine.transaction((tx) => tx.count(), { signal });
}

export function wrong(engine: StorageEngine): Promise<number> {
  // @ts-expect-error Not a signal.
  return engine.transaction((tx) => tx.count(), { signal: 'stop' });
}
