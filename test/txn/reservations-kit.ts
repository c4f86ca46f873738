/* Reservations with a pipeline, a log and a limit that tests move by hand. */
import { AegisError } from '../../src/base/errors.ts';
import { ComingTrees } from '../../src/store/coming-trees.ts';
import type { CommitPipeline } from '../../src/txn/commit.ts';
import { CommitQueue } from '../../src/txn/queue.ts';
import { type LogLimit, type Request, Reservations } from '../../src/txn/reservations.ts';
import type { Log } from '../../src/wal/log.ts';

/** A queue in front of a pipeline, a log and a limit that do what the test says, and note what they were asked for. */
export function kit(log: Partial<Log> | undefined = undefined, limit: Partial<LogLimit> = {}) {
  const queue = new CommitQueue(new ComingTrees());
  const events: string[] = [];
  const pipeline = {
    queue,
    maxPayload: 1000,
    failure: undefined as AegisError | undefined,
    schedule: () => void events.push('schedule'),
    woken: 0,
    wake: () => void ++pipeline.woken,
    resume: () => {
      ++pipeline.woken;
      reservations.serve();
    },
    flushBlocking: () => {
      events.push('flush');
      while (queue.length > 0) queue.shift();
    },
    fail: (cause: AegisError) => {
      pipeline.failure ??= cause;
      reservations.serve();
    },
  };
  const all = {
    isExceeded: false,
    shorten: () => void events.push('shorten'),
    shortenNow: () => void events.push('shorten now'),
    free: (): Promise<unknown> | undefined => undefined,
    freeNow: () => false,
    ...limit,
  };
  const reservations: Reservations = new Reservations({
    pipeline: pipeline as unknown as CommitPipeline,
    log: log as Log | undefined,
    limit: all,
  });
  const request = (name: string, more: Partial<Request> = {}): Request => ({
    bytes: 10,
    exclusive: false,
    admit: () => void events.push(name),
    ...more,
  });
  const wait = (name: string, more: Partial<Request> = {}): void =>
    reservations.wait(request(name, more), (error) => void events.push(`${name}: ${codeOf(error)}`));
  const push = (alone = false): void => {
    const load = { operations: 1, pages: 0.1, named: 0 };
    const buffer = queue.filling;
    const done = () => undefined;
    const rest = {
      end: 0,
      deleted: 0,
      sync: true,
      from: 0,
      to: 0,
      writes: undefined,
      makes: undefined,
      written: false,
    };
    queue.push({ ...rest, sequence: 1, buffer, load, alone, tracked: false, done });
  };
  return { queue, events, pipeline, reservations, limit: all, request, wait, push };
}

function codeOf(error: unknown): string {
  return error instanceof AegisError ? error.code : String(error);
}
