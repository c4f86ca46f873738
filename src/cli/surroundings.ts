/**
 * What a command line has around it: three streams, the environment, and Ctrl-C. The program gets the process's own;
 * a test gives others.
 */
import type { Readable, Writable } from 'node:stream';

/** A stream that may be a terminal. */
export interface ReadStream extends Readable {
  readonly isTTY?: boolean;
}

/** A stream that may be a terminal, and then knows its colours. */
export interface WriteStream extends Writable {
  readonly isTTY?: boolean;
  hasColors?(): boolean;
}

export interface Surroundings {
  readonly stdin: ReadStream;
  readonly stdout: WriteStream;
  readonly stderr: WriteStream;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Calls a function when the user wants the command to end (Ctrl-C, a polite kill), once; the answer takes it back. */
  onInterrupt(stop: () => void): () => void;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Those of this process. A second Ctrl-C ends it at once, as if nobody listened. */
export function ownSurroundings(): Surroundings {
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    environment: process.env,
    onInterrupt(stop) {
      const heard = () => {
        forget();
        stop();
      };
      const forget = () => {
        for (const signal of SIGNALS) process.off(signal, heard);
      };
      for (const signal of SIGNALS) process.on(signal, heard);
      return forget;
    },
  };
}
