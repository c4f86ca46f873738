/* The command line inside a test: streams that are lists, a Ctrl-C that is a call, and the exit status. */
import { Readable, Writable } from 'node:stream';
import { runProgram } from '../../src/cli/program.ts';
import type { Surroundings, WriteStream } from '../../src/cli/surroundings.ts';

/** What a command line left. */
export interface Outcome {
  readonly status: number;
  readonly output: string;
  /** Standard output as it came. */
  readonly bytes: Buffer;
  readonly errors: string;
}

/** What a test may give instead of nothing. */
export interface Given {
  readonly stdin?: Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>;
  /** Somebody at a terminal, instead. */
  readonly terminal?: Readable;
  /** Whether somebody watches standard error. */
  readonly errorTerminal?: boolean;
  /** Hears what is written to standard output. */
  readonly watch?: (text: string) => void;
  readonly environment?: Record<string, string>;
  /** Hears how to interrupt the command. */
  readonly interrupt?: (stop: () => void) => void;
  /** Bytes of output after which nobody reads any more. */
  readonly readerLeavesAfter?: number;
}

class Sink extends Writable {
  readonly parts: Buffer[] = [];
  readonly #limit: number;
  readonly #watch: ((text: string) => void) | undefined;
  #size = 0;

  constructor(limit = Number.POSITIVE_INFINITY, watch?: (text: string) => void) {
    super();
    this.#limit = limit;
    this.#watch = watch;
  }

  override _write(part: Buffer, _: BufferEncoding, done: (error?: Error) => void): void {
    this.parts.push(part);
    this.#watch?.(part.toString());
    this.#size += part.length;
    done(this.#size > this.#limit ? Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }) : undefined);
  }

  get bytes(): Buffer {
    return Buffer.concat(this.parts);
  }
}

/** Runs `aegis` with these words. */
export async function aegis(words: readonly string[], given: Given = {}): Promise<Outcome> {
  const stdout = new Sink(given.readerLeavesAfter, given.watch);
  if (given.terminal) Object.assign(stdout, { isTTY: true, columns: 80 });
  const stderr = new Sink();
  if (given.errorTerminal) Object.assign(stderr, { isTTY: true, columns: 80 });
  const surroundings: Surroundings = {
    stdin:
      given.terminal ??
      (given.stdin instanceof Readable
        ? given.stdin
        : Readable.from(given.stdin ?? [], { objectMode: false })),
    stdout: stdout as WriteStream,
    stderr: stderr as WriteStream,
    environment: given.environment ?? {},
    onInterrupt(stop) {
      given.interrupt?.(stop);
      return () => undefined;
    },
  };
  const status = await runProgram(words, surroundings);
  return { status, output: stdout.bytes.toString(), bytes: stdout.bytes, errors: stderr.bytes.toString() };
}
