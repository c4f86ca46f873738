/**
 * `aegis load`: records of a file or of standard input into a store, in batches, with progress and a way to go on
 * after it was stopped.
 */
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { Command } from 'commander';
import { Option } from 'commander';
import { AegisError } from '../../base/errors.ts';
import type { Cli, TreeOption } from '../cli.ts';
import { CommandFailure, EXIT_INTERRUPTED, EXIT_OK, printable, UsageError } from '../exit.ts';
import { isNoPlainFile, isOpenAs } from '../files.ts';
import { DELIMITERS, FORMATS, type Format, formatOf } from '../formats.ts';
import { Loader } from '../load/loader.ts';
import type { Meter } from '../load/meter.ts';
import { meterOf } from '../load/meter.ts';
import { ndjsonRows } from '../load/ndjson.ts';
import {
  type BadRow,
  type Form,
  type Input,
  linesOf,
  nameOfLines,
  type Row,
  type Rows,
} from '../load/row.ts';
import { tableRows } from '../load/table.ts';
import type { EncodingOptions } from '../options.ts';
import { ENCODING_HELP, encodingsOf, wholeNumber, withEncodings, withTree } from '../options.ts';
import { count, rate, time } from '../units.ts';

interface LoadFlags extends EncodingOptions, TreeOption {
  readonly format?: Format;
  readonly key?: string;
  readonly value?: string;
  readonly whole?: true;
  readonly header: boolean;
  readonly quoting: boolean;
  readonly batch: number;
  readonly skip: number;
  readonly skipBad?: true;
  readonly progress: boolean;
}

/** Malformed rows that are named, and those of several lines; more are only counted. */
const NAMED_MAX = 10;
const LONG_NAMED_MAX = 100;

export function addLoad(program: Command, cli: Cli): void {
  withEncodings(withTree(program.command('load')))
    .description('load records from a file or standard input; makes the store if it is not there')
    .argument('<file>', 'NDJSON, CSV or TSV file; - is standard input')
    .addOption(
      new Option('-f, --format <format>', 'format (default: as the file is named; ndjson)').choices(FORMATS),
    )
    .option('--key <field>', 'field that holds the key (default: key)')
    .option('--value <field>', 'field that holds the value (default: value)')
    .option('--whole', 'the value is the whole line (NDJSON)')
    .option('--no-header', 'the first row is a record too; fields are numbers, 1 and 2 by default (CSV, TSV)')
    .option('--no-quoting', 'quotes are letters like others (CSV, TSV)')
    .option('--batch <records>', 'records in a transaction', wholeNumber(1, 1_000_000), 1000)
    .option('--skip <rows>', 'leave out the first rows: where a stopped load goes on', wholeNumber(0), 0)
    .option('--skip-bad', 'leave out malformed rows, and count them')
    .option('--no-progress', 'show no progress')
    .addHelpText(
      'after',
      `
An NDJSON line is an object such as {"key": "a", "value": "b"}, the form that dump writes; a value that is no string
is stored as its JSON. A number that JavaScript does not keep to its last digit is refused; write it as text. A field "tree" names the tree, unless --key or --value say other fields. The first row of a CSV or TSV file names the fields. A key that comes twice has its last value.
A malformed row stops the load, with its line number; of the batch it stands in nothing is stored. Ctrl-C ends it
after the batch at hand and says how to go on.${ENCODING_HELP}

Examples:
  aegis -d ./data load records.ndjson
  aegis -d ./data load people.csv --key email --value name
  aegis -d ./data load events.ndjson --key id --whole --skip-bad
  aegis -d ./old dump | aegis -d ./new load -`,
    )
    .action(cli.action((options: LoadFlags, file) => load(cli, options, file as string)));
}

/** What is read, and how many bytes it will have been. */
interface Source {
  readonly stream: Readable;
  readonly size: number | undefined;
}

async function load(cli: Cli, options: LoadFlags, file: string): Promise<number> {
  const format = formatOf(options.format, file);
  if (options.whole && (format !== 'ndjson' || options.value !== undefined)) {
    throw new UsageError('--whole is for NDJSON, and stands instead of --value');
  }
  const source = await sourceOf(cli, file);
  const job = new LoadJob(cli, options, file, source);
  try {
    return await job.run(format);
  } finally {
    source.stream.destroy();
  }
}

async function sourceOf(cli: Cli, file: string): Promise<Source> {
  const isStdin = file === '-' || (isNoPlainFile(file) && isOpenAs(file, 0));
  if (isStdin) return { stream: cli.surroundings.stdin, size: undefined };
  try {
    const handle = await open(file);
    const stat = await handle.stat();
    if (!stat.isDirectory()) {
      return { stream: handle.createReadStream(), size: stat.isFile() ? stat.size : undefined };
    }
    await handle.close();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new UsageError(message.replace(`${code}: `, ''), code);
  }
  throw new UsageError(`${file} is a folder`, 'EISDIR');
}

class LoadJob {
  readonly #cli: Cli;
  readonly #options: LoadFlags;
  readonly #file: string;
  readonly #source: Source;
  readonly #meter: Meter | undefined;
  #size = 0;
  #named = 0;
  #longNamed = 0;
  #stopped = false;

  constructor(cli: Cli, options: LoadFlags, file: string, source: Source) {
    this.#cli = cli;
    this.#options = options;
    this.#file = file;
    this.#source = source;
    this.#meter = options.progress && !cli.json ? meterOf(cli, source.size) : undefined;
  }

  async run(format: Format): Promise<number> {
    const forget = this.#cli.surroundings.onInterrupt(() => {
      this.#stopped = true;
      this.#source.stream.destroy(); // it may be waiting for input that never comes
    });
    try {
      const rows = this.#rows(format);
      // An input that cannot be read makes no store.
      const first = await this.#next(rows);
      return await this.#cli.withStore('create', async (engine) => {
        const { skip, batch, tree, skipBad = false } = this.#options;
        const loader = new Loader(engine, skip, { batch, tree, skipBad, leftOut: (row) => this.#name(row) });
        const begin = performance.now();
        try {
          await this.#feed(loader, first, rows);
        } catch (error) {
          throw this.#withWayOn(error, loader);
        }
        this.#meter?.stop();
        return this.#report(loader, performance.now() - begin);
      });
    } finally {
      this.#meter?.stop();
      forget();
    }
  }

  #rows(format: Format): Rows {
    const { header, quoting, whole = false, key, value } = this.#options;
    const trees = key === undefined && value === undefined && !whole;
    const form: Form = { key, value, whole, trees, encodings: encodingsOf(this.#options), header, quoting };
    const input = this.#measured();
    return format === 'ndjson' ? ndjsonRows(input, form) : tableRows(input, DELIMITERS[format], form);
  }

  async *#measured(): Input {
    for await (const piece of this.#source.stream as AsyncIterable<Uint8Array>) {
      this.#size += piece.length;
      yield piece;
    }
  }

  /** The next rows; undefined at the end, or when the load was stopped. */
  async #next(rows: Rows): Promise<readonly Row[] | undefined> {
    try {
      const { done, value } = await rows.next();
      return done ? undefined : value;
    } catch (error) {
      if (this.#stopped) return undefined;
      const { code, message } = error as NodeJS.ErrnoException;
      const isRead = error instanceof Error && 'syscall' in error;
      throw isRead ? new CommandFailure(`${this.#file}: ${message.replace(`${code}: `, '')}`, code) : error;
    }
  }

  async #feed(loader: Loader, first: readonly Row[] | undefined, rows: Rows): Promise<void> {
    const { skip } = this.#options;
    for (let some = first; some !== undefined; some = await this.#next(rows)) {
      for (const row of some) {
        if (this.#stopped) break;
        if (row.position > skip) await loader.take(row);
      }
      this.#meter?.update(this.#size, loader.records);
      if (this.#stopped) break;
    }
    await loader.finish();
  }

  #name(row: BadRow): void {
    // Which lines an open quote has taken nobody sees from the count of rows.
    const isLong = linesOf(row) > 1;
    if (isLong ? ++this.#longNamed > LONG_NAMED_MAX : ++this.#named > NAMED_MAX) return;
    this.#meter?.stop();
    const { line, lastLine, problem } = row;
    const text = this.#cli.json
      ? JSON.stringify({ leftOut: { line, ...(isLong ? { lastLine } : {}), problem } })
      : `aegis: ${nameOfLines(row)} is left out: ${printable(problem)}`;
    this.#cli.surroundings.stderr.write(`${text}\n`);
  }

  async #report(loader: Loader, milliseconds: number): Promise<number> {
    const { cli, stopped } = { cli: this.#cli, stopped: this.#stopped };
    const { records, bad, badLines, position } = loader;
    if (cli.json) {
      const way = stopped ? { interrupted: true, skip: position, goOn: this.#lineOn(position) } : {};
      await cli.out.json({ records, bad, badLines, milliseconds: Math.round(milliseconds), ...way });
    } else {
      const speed = `${rate(records, milliseconds)} records/s`;
      await cli.out.line(`${counted(records)} in ${time(milliseconds)}, ${speed}${leftOut(bad, badLines)}`);
    }
    if (!stopped) return EXIT_OK;
    if (!cli.json) cli.surroundings.stderr.write(`aegis: interrupted: ${this.#wayOn(loader)}\n`);
    return EXIT_INTERRUPTED;
  }

  #wayOn({ records, position }: Loader): string {
    if (position === 0) return 'no record is in';
    const are = records === 1 ? 'is' : 'are';
    return `${counted(records)} ${are} in; go on with: ${this.#lineOn(position)}`;
  }

  #lineOn(position: number): string {
    return this.#cli.lineAgain({ '--skip': String(position) });
  }

  /** A failure says how far the load has come. */
  #withWayOn(error: unknown, loader: Loader): unknown {
    if (!(error instanceof Error) || !('code' in error) || error instanceof UsageError) return error;
    const message = `${error.message}; ${this.#wayOn(loader)}`;
    if (error instanceof AegisError) return new AegisError(error.code, message, { ...error, cause: error });
    return new CommandFailure(message, String(error.code));
  }
}

function counted(records: number): string {
  return `${count(records)} ${records === 1 ? 'record' : 'records'}`;
}

/** What was left out, in the end of a sentence. */
function leftOut(rows: number, lines: number): string {
  if (rows === 0) return '';
  const malformed = `; ${count(rows)} malformed ${rows === 1 ? 'row' : 'rows'}`;
  if (lines > rows) return `${malformed}: ${count(lines)} lines were left out`;
  return `${malformed} ${rows === 1 ? 'was' : 'were'} left out`;
}
