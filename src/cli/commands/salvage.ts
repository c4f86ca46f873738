/**
 * `aegis salvage`: what is readable of a damaged store, in a new one, and a list of what is not.
 */
import type { Command } from 'commander';
import type { Loss } from '../../index.ts';
import type { Cli } from '../cli.ts';
import { type Encoding, encode, encodeJson } from '../encoding.ts';
import { EXIT_NO, EXIT_OK, UsageError } from '../exit.ts';
import { withBar } from '../long-work.ts';
import type { EncodingOptions } from '../options.ts';
import { withKeyEncoding } from '../options.ts';
import { count } from '../units.ts';

/** How a bound is said. */
const BOUNDS = { gt: 'after', gte: 'from', lt: 'up to, but without,', lte: 'up to' } as const;

export function addSalvage(program: Command, cli: Cli): void {
  withKeyEncoding(program.command('salvage'))
    .description('copy what is readable of a damaged store to a new one; status 1 when something is lost')
    .argument(
      '<folders...>',
      'the damaged store (default: -d), and where the new one goes, with no store in it',
    )
    .addHelpText(
      'after',
      `
The damaged store is only read. What is lost is listed, a line each: ranges of keys, of names of trees, of ids of blocks,
or the last commits, when the log is damaged. Everything else is in the new store with its newest value.

Examples:
  aegis salvage ./data ./rescued
  aegis -d ./data salvage ./rescued`,
    )
    .action(cli.action((options: EncodingOptions, ...folders) => run(cli, options, folders)));
}

async function run(cli: Cli, { keyEncoding }: EncodingOptions, folders: string[]): Promise<number> {
  if (folders.length > 2) throw new UsageError('salvage: the damaged store and a folder for the new one');
  const target = folders.at(-1) as string;
  const [given] = folders.slice(0, -1);
  const { salvage } = await import('../../index.ts');
  const report = await withBar(cli, 'backup', () => {
    const config = cli.storeConfig('read');
    return salvage(given === undefined ? config : { ...config, dataDirectory: given }, target);
  });
  const { records, trees, blocks, lost } = report;
  if (cli.json) {
    await cli.out.json({ ...report, lost: lost.map((loss) => jsonOf(loss, keyEncoding)) });
  } else {
    for (const loss of lost) await cli.out.line(lineOf(loss, keyEncoding));
    const said = lost.length === 0 ? 'nothing is lost' : `lost: ${count(lost.length)}, listed above`;
    const what = `${count(records)} records, ${count(trees)} named trees, ${count(blocks)} blocks`;
    await cli.out.line(`${what}: ${target}; ${said}`);
  }
  return lost.length === 0 ? EXIT_OK : EXIT_NO;
}

function jsonOf({ range = {}, ...rest }: Loss, encoding: Encoding): object {
  const bounds = Object.entries(range).map(([name, key]) => [name, encodeJson(key as Uint8Array, encoding)]);
  return {
    ...rest,
    ...(rest.what === 'keys' || rest.what === 'trees' ? { range: Object.fromEntries(bounds) } : {}),
  };
}

function lineOf(loss: Loss, encoding: Encoding): string {
  const { message, file, offset } = loss;
  const place = file === undefined || message.includes(file) ? '' : ` (file ${file}, offset ${offset})`;
  return `lost: ${whatOf(loss, encoding)}: ${message}${place}`;
}

function whatOf({ what, tree, range = {}, ids }: Loss, encoding: Encoding): string {
  if (what === 'commits') return 'the last commits';
  if (ids) return ids[0] === ids[1] ? `block ${ids[0]}` : `blocks ${ids[0]} to ${ids[1]}`;
  const { gte, lte } = range;
  const text = (key: unknown): string => encode(key as Uint8Array, encoding);
  const where = tree === undefined ? '' : ` of tree ${tree}`;
  const names = Object.keys(BOUNDS) as (keyof typeof BOUNDS)[];
  const bounds = names.filter((name) => range[name] !== undefined);
  if (bounds.length === 0) return `all ${what}${where}`;
  if (gte !== undefined && lte !== undefined && Buffer.compare(gte as Uint8Array, lte as Uint8Array) === 0)
    return `${what === 'keys' ? 'key' : 'tree'} ${text(gte)}${where}`;
  return `${what}${where} ${bounds.map((name) => `${BOUNDS[name]} ${text(range[name])}`).join(' ')}`;
}
