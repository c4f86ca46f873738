/**
 * `aegis put`: one record, durable when the command ends.
 */
import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import type { Command } from 'commander';
import type { Cli, TreeOption } from '../cli.ts';
import { UsageError } from '../exit.ts';
import type { EncodingOptions } from '../options.ts';
import { argument, ENCODING_HELP, encodingsOf, withEncodings, withTree } from '../options.ts';

interface PutOptions extends EncodingOptions, TreeOption {
  readonly file?: string;
}

export function addPut(program: Command, cli: Cli): void {
  withEncodings(withTree(program.command('put')))
    .description('write a record; makes the store if it is not there')
    .argument('<key>', 'the key')
    .argument('[value]', 'the value')
    .option('--file <file>', 'take the bytes of a file as the value; - is standard input')
    .addHelpText(
      'after',
      `${ENCODING_HELP}
What begins with a hyphen goes behind --, so that it is no option.

Examples:
  aegis -d ./data put city/ch/bern 134794
  aegis -d ./data put photo --file photo.jpg
  date | aegis -d ./data put now --file -
  aegis -d ./data put -- temperature -5`,
    )
    .action(cli.action((options: PutOptions, ...operands) => put(cli, options, operands)));
}

async function put(cli: Cli, options: PutOptions, operands: readonly string[]): Promise<undefined> {
  const encodings = encodingsOf(options);
  const [givenKey = '', givenValue] = operands;
  const key = argument('the key', givenKey, encodings.key);
  if ((givenValue === undefined) === (options.file === undefined)) {
    throw new UsageError(
      givenValue === undefined
        ? "missing required argument 'value'; --file takes the bytes of a file, --file - those of standard input"
        : 'a value and --file exclude each other',
    );
  }
  // Read before the store is opened: whoever types slowly locks nobody out.
  const value =
    givenValue === undefined
      ? await bytesOf(cli, options.file as string)
      : argument('the value', givenValue, encodings.value);
  await cli.withKeys('create', options, async (keys) => keys.put(key, value));
  if (cli.json) await cli.out.json({ key: givenKey, ok: true });
}

async function bytesOf(cli: Cli, file: string): Promise<Uint8Array> {
  if (file === '-') {
    if (cli.shell) throw new UsageError('in a shell standard input is its lines; name a file');
    return buffer(cli.surroundings.stdin);
  }
  try {
    return await readFile(file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new UsageError(`${file}: ${message.replace(`${code}: `, '')}`, code);
  }
}
