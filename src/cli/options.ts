/**
 * Options that several commands share, and readers of their values. Readers refuse with commander's own error, which
 * ends as usage.
 */
import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import type { RangeOptions } from '../index.ts';
import type { Encoding, Encodings } from './encoding.ts';
import { decode, ENCODINGS } from './encoding.ts';
import { UsageError } from './exit.ts';

/** Reads a whole number within limits. */
export function wholeNumber(
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
): (given: string) => number {
  const allowed =
    most === Number.MAX_SAFE_INTEGER
      ? `a whole number from ${least} on`
      : `a whole number from ${least} to ${most}`;
  return (given) => {
    const number = Number(given);
    if (/^\d+$/.test(given) && number >= least && number <= most) return number;
    throw new InvalidArgumentError(`It must be ${allowed}.`);
  };
}

/** Values of the encoding options. */
export interface EncodingOptions {
  readonly keyEncoding: Encoding;
  readonly valueEncoding: Encoding;
}

/** Values of the range options. */
export interface RangeFlags {
  readonly gt?: string;
  readonly gte?: string;
  readonly lt?: string;
  readonly lte?: string;
  readonly prefix?: string;
  readonly reverse?: true;
  readonly limit?: number;
}

/** Bytes of a tree's name. */
export const TREE_NAME_MAX = 255;

const BOUNDS = ['gt', 'gte', 'lt', 'lte', 'prefix'] as const;

/** What the help says below a command with keys. */
export const ENCODING_HELP = `
A key or value is text; bytes that are no UTF-8 are base64:…, in JSON {"base64": "…"}.
--key-encoding and --value-encoding take utf8, hex or base64 for all of them instead.`;

/** Adds `--tree`. */
export function withTree(command: Command): Command {
  return command.option('-t, --tree <name>', 'a named tree instead of the default one', treeName);
}

function treeName(given: string): string {
  const size = Buffer.byteLength(given);
  if (size >= 1 && size <= TREE_NAME_MAX) return given;
  throw new InvalidArgumentError(`A name has 1 to ${TREE_NAME_MAX} bytes of UTF-8.`);
}

/** Adds `--key-encoding`. */
export function withKeyEncoding(command: Command): Command {
  return command.addOption(encodingOption('--key-encoding <encoding>', 'how keys are written'));
}

/** Adds `--key-encoding` and `--value-encoding`. */
export function withEncodings(command: Command): Command {
  return withKeyEncoding(command).addOption(
    encodingOption('--value-encoding <encoding>', 'how values are written'),
  );
}

function encodingOption(flags: string, description: string): Option {
  return new Option(flags, description).choices(ENCODINGS).default('auto');
}

/** Adds the bounds, the direction and the limit of a range. */
export function withRange(command: Command): Command {
  return command
    .option('--gt <key>', 'keys above this one')
    .option('--gte <key>', 'keys from this one on')
    .option('--lt <key>', 'keys below this one')
    .option('--lte <key>', 'keys up to this one')
    .option('-p, --prefix <key>', 'keys that begin with this')
    .option('-n, --limit <number>', 'at most so many', wholeNumber(0));
}

/** The encodings that were asked for. */
export function encodingsOf({ keyEncoding, valueEncoding }: EncodingOptions): Encodings {
  return { key: keyEncoding, value: valueEncoding };
}

/** The range that was asked for. @throws UsageError when a bound is not in its encoding */
export function rangeOf(flags: RangeFlags, encoding: Encoding): RangeOptions {
  const range: RangeOptions = {};
  for (const name of BOUNDS) {
    const given = flags[name];
    if (given !== undefined) range[name] = argument(`--${name}`, given, encoding);
  }
  if (flags.reverse) range.reverse = true;
  if (flags.limit !== undefined) range.limit = flags.limit;
  return range;
}

/** Bytes of a key or value of the command line. @throws UsageError when it is not in its encoding */
export function argument(name: string, given: string, encoding: Encoding): string | Uint8Array {
  try {
    return decode(given, encoding);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new UsageError(`${name} is ${JSON.stringify(given.slice(0, 60))}: ${error.message}`);
  }
}
