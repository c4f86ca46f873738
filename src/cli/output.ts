/**
 * Standard output, or a file instead, for what a command answers: written in large pieces, each waited for, so that a slow reader slows
 * the command down instead of filling memory, and one who has gone ends it.
 *
 * 1. A reader who has gone (`| head`) is no failure: he had enough. `OutputClosed` takes the command out of its work.
 * 2. Any other failure, such as a full disk behind `> file`, is the command's failure.
 */
import { CommandFailure } from './exit.ts';
import { failureOfFile } from './files.ts';
import type { WriteStream } from './surroundings.ts';

/** Thrown by a write when nobody reads any more. */
export class OutputClosed extends Error {}

/** Written in one go; a pipe takes 64 KB. */
const PIECE_SIZE = 64 * 1024;

export class Output {
  readonly #stream: WriteStream;
  /** The file, where it is one. */
  readonly #file: string | undefined;
  #waiting: string[] = [];
  #size = 0;

  constructor(stream: WriteStream, file?: string) {
    this.#stream = stream;
    this.#file = file;
    // Each write hears of its own failure; without a listener the stream's own event would end the process.
    if (stream.listenerCount('error', ignore) === 0) stream.on('error', ignore);
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY === true;
  }

  /** Takes a text that is written with the next piece, or by `flush`. */
  add(text: string): void {
    this.#waiting.push(text);
    this.#size += text.length;
  }

  /** Writes a text; it may lie in memory until `flush`. */
  async text(text: string): Promise<void> {
    this.add(text);
    if (this.#size >= PIECE_SIZE) await this.flush();
  }

  async line(text: string): Promise<void> {
    await this.text(`${text}\n`);
  }

  /** Writes an answer for programs: one line of JSON. */
  async json(value: unknown): Promise<void> {
    await this.line(JSON.stringify(value));
  }

  async bytes(bytes: Uint8Array): Promise<void> {
    await this.flush();
    for (let at = 0; at < bytes.length; at += PIECE_SIZE)
      await this.#write(bytes.subarray(at, at + PIECE_SIZE));
  }

  async flush(): Promise<void> {
    if (this.#size === 0) return;
    const piece = this.#waiting.join('');
    this.#waiting = [];
    this.#size = 0;
    await this.#write(piece);
  }

  #write(piece: string | Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#stream.write(piece, (error) => (error ? reject(failureOf(error, this.#file)) : resolve()));
    });
  }
}

function ignore(): void {}

function failureOf(error: NodeJS.ErrnoException, file: string | undefined): unknown {
  if (error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED') return new OutputClosed();
  if (file !== undefined) return failureOfFile(file, error);
  return new CommandFailure(`cannot write to standard output: ${error.message}`, error.code);
}
