/**
 * `aegis put`: one record, durable when the command ends.
 */
import { buffer } from 'node:stream/consumers';
import type { Command } from 'commander';
import type { Cli, TreeOption } from '../cli.ts';
import type { EncodingOptions } from '../options.ts';
import { argument, ENCODING_HELP, encodingsOf, withEncodings, withTree } from '../options.ts';

type PutOptions = EncodingOptions & TreeOption;

export function addPut(program: Command, cli: Cli): void {
  withEncodings(withTree(program.command('put')))
    .description('write a record; makes the store if it is not there')
    .argument('<key>', 'the key')
    .argument('[value]', 'the value; without it, the bytes of standard input')
    .addHelpText(
      'after',
      `${ENCODING_HELP}
What begins with a hyphen goes behind --, so that it is no option.

Examples:
  aegis -d ./data put city/ch/bern 134794
  aegis -d ./data put photo < photo.jpg
  aegis -d ./data put -- temperature -5`,
    )
    .action(cli.action((options: PutOptions, ...operands) => put(cli, options, operands)));
}

async function put(cli: Cli, options: PutOptions, operands: readonly string[]): Promise<undefined> {
  const encodings = encodingsOf(options);
  const [givenKey = '', givenValue] = operands;
  const key = argument('the key', givenKey, encodings.key);
  // Read before the store is opened: whoever types slowly locks nobody out.
  const value =
    givenValue === undefined
      ? await buffer(cli.surroundings.stdin)
      : argument('the value', givenValue, encodings.value);
  await cli.withKeys('create', options, async (keys) => keys.put(key, value));
  if (cli.json) await cli.out.json({ key: givenKey, ok: true });
}
