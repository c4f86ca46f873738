/**
 * `aegis count`: how many records a range has.
 */
import type { Command } from 'commander';
import type { Cli, TreeOption } from '../cli.ts';
import type { EncodingOptions, RangeFlags } from '../options.ts';
import { ENCODING_HELP, rangeOf, withKeyEncoding, withRange, withTree } from '../options.ts';

type CountOptions = EncodingOptions & RangeFlags & TreeOption;

export function addCount(program: Command, cli: Cli): void {
  withKeyEncoding(withRange(withTree(program.command('count'))))
    .description('count the records of a range')
    .addHelpText(
      'after',
      `${ENCODING_HELP}

Examples:
  aegis -d ./data count
  aegis -d ./data count --prefix city/ch/`,
    )
    .action(cli.action((options: CountOptions) => count(cli, options)));
}

async function count(cli: Cli, options: CountOptions): Promise<undefined> {
  const range = rangeOf(options, options.keyEncoding);
  const number = await cli.withKeys('read', options, async (keys) => keys.count(range));
  if (cli.json) await cli.out.json({ count: number });
  else await cli.out.line(String(number));
}
