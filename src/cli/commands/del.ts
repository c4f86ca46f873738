/**
 * `aegis del`: takes a record away, durably.
 */
import type { Command } from 'commander';
import type { Cli, TreeOption } from '../cli.ts';
import { EXIT_NO, EXIT_OK } from '../exit.ts';
import type { EncodingOptions } from '../options.ts';
import { argument, ENCODING_HELP, withKeyEncoding, withTree } from '../options.ts';

type DelOptions = EncodingOptions & TreeOption;

export function addDel(program: Command, cli: Cli): void {
  withKeyEncoding(withTree(program.command('del')))
    .alias('delete')
    .description('remove a record; status 1 when it is not there')
    .argument('<key>', 'the key')
    .addHelpText(
      'after',
      `${ENCODING_HELP}

Example:
  aegis -d ./data del city/ch/bern`,
    )
    .action(cli.action((options: DelOptions, key) => del(cli, options, key as string)));
}

async function del(cli: Cli, options: DelOptions, given: string): Promise<number> {
  const key = argument('the key', given, options.keyEncoding);
  const deleted = await cli.withKeys('change', options, async (keys) => keys.delete(key));
  if (cli.json) await cli.out.json({ key: given, deleted });
  return deleted ? EXIT_OK : EXIT_NO;
}
