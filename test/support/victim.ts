/*
 * Programs that are killed in the middle of their work. A victim is started ahead of time, takes one order, and says
 * what it does line by line; what it said before it died is all there, since the pipe outlives it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { onTestFinished } from 'vitest';

/** A program that has been started and can be killed. */
export class Victim {
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  readonly #listeners: ((line: string) => void)[] = [];
  readonly #ready: Promise<void>;
  readonly #ended: Promise<void>;
  #errors = '';

  constructor(path: string) {
    this.#child = spawn(process.execPath, [path], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stdin!.on('error', () => undefined);
    this.#child.stderr!.on('data', (text) => {
      this.#errors += String(text);
    });
    const lines = createInterface({ input: this.#child.stdout! });
    this.#ready = new Promise((resolve) => lines.once('line', () => resolve()));
    lines.on('line', (line) => {
      this.#lines.push(line);
      for (const listener of this.#listeners) listener(line);
    });
    const closed = [this.#child, lines].map(
      (source) => new Promise<void>((resolve) => source.once('close', resolve)),
    );
    this.#ended = Promise.all(closed).then(() => undefined);
    onTestFinished(() => void this.#child.kill('SIGKILL'));
  }

  /** Resolves when the program waits for its order. */
  ready(): Promise<void> {
    return Promise.race([this.#ready, this.#ended]);
  }

  /** Resolves when the program has said a line that begins so once more than `skipped` times, or has ended. */
  said(beginning: string, skipped = 0): Promise<void> {
    const heard = new Promise<void>((resolve) => {
      let left = skipped;
      this.#listeners.push((line) => void (line.startsWith(beginning) && --left < 0 && resolve()));
    });
    return Promise.race([heard, this.#ended]);
  }

  /** Gives the order. */
  start(order: unknown): void {
    this.#child.stdin!.write(`${JSON.stringify(order)}\n`);
  }

  /** Kills it, if it still lives, and answers what it said, and whether the kill is what ended it. */
  async kill(): Promise<{
    lines: readonly string[];
    errors: string;
    killed: boolean;
    status: number | null;
  }> {
    this.#child.kill('SIGKILL');
    await this.#ended;
    const { signalCode, exitCode } = this.#child;
    return { lines: this.#lines, errors: this.#errors, killed: signalCode === 'SIGKILL', status: exitCode };
  }

  /** Waits until it ends by itself and answers what it said. */
  async end(): Promise<{ lines: readonly string[]; errors: string; status: number | null }> {
    await this.#ended;
    return { lines: this.#lines, errors: this.#errors, status: this.#child.exitCode };
  }
}
