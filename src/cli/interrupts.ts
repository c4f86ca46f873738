/**
 * Ending early without leaving anything behind: on Ctrl-C, on a polite kill, and when whoever reads the output is gone.
 *
 * What must not outlive the process (a child process, a temporary folder, a hidden cursor) registers how to undo it.
 * Undoing is synchronous, newest first, and the exit status is the shell's: 128 and the number of the signal.
 */
import { constants } from 'node:os';

/** Undoes one thing, at once. */
export type Undo = () => void;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export class Interrupts {
  readonly #undo: Undo[] = [];

  /** Starts to listen, for the rest of the process's life. */
  constructor() {
    for (const signal of SIGNALS) process.once(signal, () => this.#end(constants.signals[signal]));
    process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      this.#end(constants.signals.SIGPIPE);
    });
  }

  /** Registers how to undo something; the answer takes it back. */
  add(undo: Undo): () => void {
    this.#undo.push(undo);
    return () => {
      const index = this.#undo.lastIndexOf(undo);
      if (index >= 0) this.#undo.splice(index, 1);
    };
  }

  #end(signal: number): void {
    try {
      for (let undo = this.#undo.pop(); undo; undo = this.#undo.pop()) undo();
    } finally {
      process.exit(128 + signal);
    }
  }
}
