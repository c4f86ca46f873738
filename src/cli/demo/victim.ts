/**
 * The writer as its killer sees it: a child process, what it has said, and its end.
 */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Interrupts } from '../interrupts.ts';

/** What the writers of all rounds have said. */
export class Testimony {
  readonly begun = new Set<number>();
  readonly acknowledged = new Set<number>();
}

/** A writer that runs. */
export class Victim {
  readonly #child: ChildProcess;
  readonly #testimony: Testimony;
  readonly #ended: Promise<NodeJS.Signals | number | null>;
  #heard: () => void = () => undefined;
  #errors = '';

  /** Starts a writer in a process of its own: this program, with its hidden command. */
  constructor(directory: string, first: number, testimony: Testimony, interrupts: Interrupts) {
    this.#testimony = testimony;
    const program = [...process.execArgv, process.argv[1]!];
    const command = ['demo-writer', directory, String(first)];
    this.#child = spawn(process.execPath, [...program, ...command], { stdio: ['pipe', 'pipe', 'pipe'] });
    const forget = interrupts.add(() => void this.#child.kill('SIGKILL'));
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text;
    });
    const lines = createInterface({ input: this.#child.stdout! });
    lines.on('line', (line) => this.#hear(line));
    const linesEnded = new Promise((resolve) => lines.once('close', resolve));
    this.#ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('close', (status, signal) => {
        forget();
        this.#heard();
        void linesEnded.then(() => resolve(signal ?? status));
      });
    });
  }

  #hear(line: string): void {
    // The full stop tells a whole line from one cut short by the kill.
    const [, word, number] = /^(begin|done) (\d+)\.$/.exec(line) ?? [];
    if (word === 'begin') this.#testimony.begun.add(Number(number));
    else if (word === 'done') this.#testimony.acknowledged.add(Number(number));
    this.#heard();
  }

  /** Waits until so many transactions are acknowledged in all, or until the writer has ended, or the time is up. */
  async acknowledged(total: number, patience: number): Promise<void> {
    const { acknowledged } = this.#testimony;
    let timer: NodeJS.Timeout | undefined;
    const enough = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, patience);
      this.#heard = () => void (acknowledged.size >= total && resolve());
    });
    await Promise.race([enough, this.#ended]);
    clearTimeout(timer);
  }

  /** Kills it; answers the signal it died of, or the status it had ended with before. All it said is heard then. */
  async kill(): Promise<NodeJS.Signals | number | null> {
    this.#child.kill('SIGKILL');
    return this.#ended;
  }

  /** What it complained about. */
  get errors(): string {
    return this.#errors.trim();
  }
}
