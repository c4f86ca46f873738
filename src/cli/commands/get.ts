/**
 * `aegis get`: one value.
 */
import type { Command } from 'commander';
import type { Cli, TreeOption } from '../cli.ts';
import { encode, encodeJson } from '../encoding.ts';
import { EXIT_NO, EXIT_OK } from '../exit.ts';
import type { EncodingOptions } from '../options.ts';
import { argument, ENCODING_HELP, encodingsOf, withEncodings, withTree } from '../options.ts';

interface GetOptions extends EncodingOptions, TreeOption {
  readonly raw?: true;
}

export function addGet(program: Command, cli: Cli): void {
  withEncodings(withTree(program.command('get')))
    .description('show the value of a key; status 1 when it is not there')
    .argument('<key>', 'the key')
    .option('--raw', 'write the bytes of the value and nothing else')
    .addHelpText(
      'after',
      `${ENCODING_HELP}

Examples:
  aegis -d ./data get city/ch/bern
  aegis -d ./data get --raw photo > photo.jpg
  aegis -d ./data get --key-encoding hex 00ff`,
    )
    .action(cli.action((options: GetOptions, key) => get(cli, options, key as string)));
}

async function get(cli: Cli, options: GetOptions, given: string): Promise<number> {
  const encodings = encodingsOf(options);
  const key = argument('the key', given, encodings.key);
  const value = await cli.withKeys('read', options, async (keys) => keys.get(key));
  if (options.raw) {
    if (value !== undefined) await cli.out.bytes(value);
  } else if (cli.json) {
    const found = value !== undefined;
    await cli.out.json({
      key: given,
      found,
      ...(found ? { value: encodeJson(value, encodings.value) } : {}),
    });
  } else if (value !== undefined) {
    await cli.out.line(encode(value, encodings.value));
  }
  return value === undefined ? EXIT_NO : EXIT_OK;
}
