/**
 * What a person sees of a command: headings, lines, tables and progress, on a stream.
 *
 * 1. Nothing is wider than 100 columns.
 * 2. Colours are for terminals only, and not where NO_COLOR is set; nothing is told by colour alone.
 * 3. Without a terminal, progress is a few plain lines and no control character is written.
 * 4. A bar hides the cursor. Whoever ends the process early calls `restore` first.
 */
import { styleText } from 'node:util';
import cliProgress from 'cli-progress';
import type { Surroundings, WriteStream } from './surroundings.ts';
import type { Column } from './table.ts';
import { layOut, padText } from './table.ts';
import { count } from './units.ts';

/** The styles in use. */
export type Style = 'bold' | 'dim' | 'green' | 'red' | 'cyan';

/** How far something is. */
export interface Progress {
  update(done: number): void;
  /** Takes the bar away. */
  stop(): void;
}

const INDENT = '  ';
const LABEL_WIDTH = 28;
const BAR_WIDTH = 40;
const PLAIN_STEPS = 4;

export class Screen {
  readonly #stream: WriteStream;
  readonly #write: (text: string) => void;
  readonly #hasColors: boolean;
  #bar: cliProgress.SingleBar | undefined;

  /** `write` says where text goes, if not straight to the stream. */
  constructor(
    stream: WriteStream = process.stdout,
    environment: Surroundings['environment'] = process.env,
    write: (text: string) => void = (text) => void stream.write(text),
  ) {
    this.#stream = stream;
    this.#write = write;
    const noColor = environment['NO_COLOR'] ?? '';
    this.#hasColors = stream.isTTY === true && noColor === '' && stream.hasColors?.() === true;
  }

  /** A text in a style, where styles can be shown. */
  paint(style: Style, text: string): string {
    return this.#hasColors && text !== '' ? styleText(style, text, { validateStream: false }) : text;
  }

  /** A line as it is. */
  line(text = ''): void {
    this.#write(`${text}\n`);
  }

  /** The first line of a part, with what it is about. */
  heading(title: string, about = ''): void {
    this.line();
    this.line(`${this.paint('bold', this.paint('cyan', title.toUpperCase()))}  ${about}`.trimEnd());
  }

  /** A line of running text. */
  say(text: string): void {
    this.line(INDENT + text);
  }

  /** A name, its value, and what to know about it, in columns. */
  fact(name: string, value: string, note = ''): void {
    const text = `${padText(name, LABEL_WIDTH)}${padText(value, note === '' ? 0 : LABEL_WIDTH)}`;
    this.say(`${text}${this.paint('dim', note)}`.trimEnd());
  }

  /** Whether something claimed turned out to be so. */
  verdict(held: boolean, claim: string): void {
    this.say(`${held ? this.paint('green', '✓') : this.paint('red', '✗')} ${claim}`);
  }

  /** A table with its headings, a step further in. */
  table(columns: readonly Column[], rows: readonly (readonly string[])[]): void {
    const { heading, lines } = layOut(columns, rows);
    this.say(INDENT + this.paint('dim', heading));
    for (const line of lines) this.say(INDENT + line);
  }

  /** Begins to show how far something is; amounts look as `shown` writes them, with their unit. */
  progress(total: number, unit: string, shown = count): Progress {
    return this.#stream.isTTY ? this.#barOf(total, unit, shown) : this.#linesOf(total, unit, shown);
  }

  #barOf(total: number, unit: string, shown: (amount: number) => string): Progress {
    const { SingleBar } = cliProgress;
    const bar = new SingleBar({
      format: `${INDENT}${this.paint('cyan', '{bar}')}  {percentage} %  {value} of {total} ${unit}`.trimEnd(),
      formatValue: (value, _, type) => (type === 'percentage' ? String(value).padStart(3) : shown(value)),
      barCompleteChar: '█',
      barIncompleteChar: '░',
      barsize: BAR_WIDTH,
      fps: 20,
      stream: this.#stream as NodeJS.WriteStream,
      hideCursor: true,
      clearOnComplete: true,
    });
    bar.start(total, 0);
    this.#bar = bar;
    return {
      update: (done) => bar.update(done),
      stop: () => this.restore(),
    };
  }

  #linesOf(total: number, unit: string, shown: (amount: number) => string): Progress {
    let reached = 0;
    return {
      update: (done) => {
        const step = Math.floor((done / total) * PLAIN_STEPS);
        if (step <= reached) return;
        reached = step;
        const share = `${Math.floor((done / total) * 100)} %`.padStart(5);
        const whole = shown(total);
        this.say(`${share}  ${shown(done).padStart(whole.length)} of ${whole} ${unit}`.trimEnd());
      },
      stop: () => undefined,
    };
  }

  /** Leaves the terminal as it was found. */
  restore(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}
