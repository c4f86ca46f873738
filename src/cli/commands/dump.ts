/**
 * `aegis dump`: all records as text that `aegis load` reads back to the byte.
 */
import type { Command } from 'commander';
import { Option } from 'commander';
import type { Entry } from '../../index.ts';
import type { Cli, TreeOption } from '../cli.ts';
import { type Encodings, encode, encodeJson } from '../encoding.ts';
import { DELIMITERS, FORMATS, type Format, formatOf, tableLine } from '../formats.ts';
import type { EncodingOptions } from '../options.ts';
import { ENCODING_HELP, encodingsOf, withEncodings, withTree } from '../options.ts';
import type { Output } from '../output.ts';
import { writeTarget } from '../target.ts';

interface DumpFlags extends EncodingOptions, TreeOption {
  readonly format?: Format;
}

export function addDump(program: Command, cli: Cli): void {
  withEncodings(withTree(program.command('dump')))
    .description('write all records as NDJSON, CSV or TSV, for load to read back')
    .argument('[file]', 'where to (default, and -: standard output)')
    .addOption(
      new Option('-f, --format <format>', 'format (default: as the file is named; ndjson)').choices(FORMATS),
    )
    .addHelpText(
      'after',
      `
All records of all trees, of one moment; those of named trees with their field "tree". Whatever bytes they hold, load
makes the same of them again. Blocks are no records: backup copies them too.${ENCODING_HELP}

Examples:
  aegis -d ./data dump > records.ndjson
  aegis -d ./data dump records.csv
  aegis -d ./old dump | aegis -d ./new load -`,
    )
    .action(cli.action((options: DumpFlags, file?: string) => dump(cli, options, file)));
}

async function dump(cli: Cli, options: DumpFlags, file = '-'): Promise<undefined> {
  const format = formatOf(options.format, file);
  const encodings = encodingsOf(options);
  await cli.withStore('read', async (engine) => {
    const names = options.tree === undefined ? engine.trees() : [];
    const snapshot = engine.snapshot();
    try {
      const parts: Part[] = [
        { name: undefined, records: options.tree === undefined ? snapshot : snapshot.tree(options.tree) },
        ...names.map((name) => ({ name, records: snapshot.tree(name) })),
      ];
      const write = (out: Output) => writeRecords(parts, out, format, encodings);
      if (file === '-') return void (await write(cli.out));
      const records = await writeTarget(cli, file, engine.config.dataDirectory, write);
      if (cli.json) await cli.out.json({ file, records });
    } finally {
      snapshot.close();
    }
  });
}

/** A tree to write, and the name that its records carry. */
interface Part {
  readonly name: string | undefined;
  readonly records: { scan(): Iterable<Entry> };
}

/** Writes the records; answers how many. */
async function writeRecords(
  parts: readonly Part[],
  out: Output,
  format: Format,
  encodings: Encodings,
): Promise<number> {
  const { key: keyEncoding, value: valueEncoding } = encodings;
  const hasTrees = parts.length > 1;
  let count = 0;
  if (format !== 'ndjson') {
    await out.line(tableLine([...(hasTrees ? ['tree'] : []), 'key', 'value'], DELIMITERS[format]));
  }
  for (const { name, records } of parts) {
    for (const [key, value] of records.scan()) {
      if (format === 'ndjson') {
        const tree = name === undefined ? {} : { tree: name };
        await out.json({
          ...tree,
          key: encodeJson(key, keyEncoding),
          value: encodeJson(value, valueEncoding),
        });
      } else {
        const fields = [encode(key, keyEncoding), encode(value, valueEncoding)];
        await out.line(tableLine(hasTrees ? [name ?? '', ...fields] : fields, DELIMITERS[format]));
      }
      ++count;
    }
  }
  await out.flush();
  return count;
}
