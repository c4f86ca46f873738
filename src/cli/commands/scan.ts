/**
 * `aegis scan`: the records of a range, in order, a line each.
 */
import type { Command } from 'commander';
import type { Cli, TreeOption } from '../cli.ts';
import { encode, encodeJson } from '../encoding.ts';
import { scanLine } from '../formats.ts';
import type { EncodingOptions, RangeFlags } from '../options.ts';
import { ENCODING_HELP, encodingsOf, rangeOf, withEncodings, withRange, withTree } from '../options.ts';

interface ScanOptions extends EncodingOptions, RangeFlags, TreeOption {
  readonly keys?: true;
}

export function addScan(program: Command, cli: Cli): void {
  withEncodings(withRange(withTree(program.command('scan'))))
    .description('list the records of a range, in the order of their keys')
    .option('-r, --reverse', 'from the last key to the first')
    .option('-k, --keys', 'the keys only')
    .addHelpText(
      'after',
      `
A line has key and value with a tab between, each as it is; one with a tab or a line end in it is quoted as in a TSV
file. With --json a line is a JSON object.
All bounds hold together.${ENCODING_HELP}

Examples:
  aegis -d ./data scan --prefix city/ch/ --limit 10
  aegis -d ./data scan --gte 2026-01 --lt 2026-02 --reverse
  aegis -d ./data --json scan | jq .key`,
    )
    .action(cli.action((options: ScanOptions) => scan(cli, options)));
}

async function scan(cli: Cli, options: ScanOptions): Promise<undefined> {
  const encodings = encodingsOf(options);
  const range = rangeOf(options, encodings.key);
  await cli.withKeys('read', options, async (keys) => {
    using records = keys.scan(range);
    if (options.keys) {
      for (const key of records.keys()) {
        if (cli.json) await cli.out.json({ key: encodeJson(key, encodings.key) });
        else await cli.out.line(scanLine([encode(key, encodings.key)]));
        await cli.pause();
      }
      return;
    }
    for (const [key, value] of records) {
      if (cli.json) {
        await cli.out.json({
          key: encodeJson(key, encodings.key),
          value: encodeJson(value, encodings.value),
        });
      } else {
        await cli.out.line(scanLine([encode(key, encodings.key), encode(value, encodings.value)]));
      }
      await cli.pause();
    }
    await cli.out.flush();
  });
}
