/**
 * `aegis blocks`: the blocks of a store, or the data of one.
 */
import type { Command } from 'commander';
import type { ListedBlock } from '../blocks.ts';
import type { Cli } from '../cli.ts';
import { EXIT_NO, EXIT_OK, UsageError } from '../exit.ts';
import type { Column } from '../table.ts';
import { tableRow } from '../table.ts';
import { bytes } from '../units.ts';

export function addBlocks(program: Command, cli: Cli): void {
  program
    .command('blocks')
    .description(
      'list the blocks, or write the data of one; status 1 when it was never written, or is damaged',
    )
    .argument('[id]', 'the block whose data goes to standard output, byte for byte')
    .addHelpText(
      'after',
      `
Examples:
  aegis -d ./data blocks
  aegis -d ./data blocks 7 > block.bin
  aegis -d ./data --json blocks 7`,
    )
    .action(cli.action((_, id?: string) => (id === undefined ? list(cli) : show(cli, id))));
}

const COLUMNS: readonly Column[] = [
  { title: 'id', align: 'right', width: 8 },
  { title: 'type', width: 10 },
  { title: 'codec', width: 5 },
  { title: 'data', align: 'right', width: 9 },
  { title: 'stored', align: 'right', width: 9 },
  { title: 'checksum', width: 16 },
];

async function list(cli: Cli): Promise<number> {
  const { listBlocks } = await import('../blocks.ts');
  let damaged = 0;
  let isFirst = true;
  await cli.withStore('read', async (_, engineCore) => {
    for (const block of listBlocks(engineCore)) {
      if (isFirst && !cli.json) {
        const titles = COLUMNS.map(({ title }) => title);
        await cli.out.line(tableRow(COLUMNS, titles));
      }
      isFirst = false;
      if ('problem' in block) ++damaged;
      if (cli.json) await cli.out.json('header' in block ? { id: block.id, ...block.header } : block);
      else await cli.out.line(lineOf(block));
      await cli.pause();
    }
    await cli.out.flush();
  });
  return damaged === 0 ? EXIT_OK : EXIT_NO;
}

function lineOf(block: ListedBlock): string {
  if ('problem' in block) return tableRow(COLUMNS, [String(block.id), block.problem]);
  const { type, codec, rawSize, storedSize, checksum } = block.header;
  return tableRow(COLUMNS, [String(block.id), type, codec, bytes(rawSize), bytes(storedSize), checksum]);
}

async function show(cli: Cli, given: string): Promise<number> {
  const id = Number(given);
  if (!/^\d+$/.test(given) || !Number.isSafeInteger(id)) {
    throw new UsageError(`a block id is a whole number, not ${JSON.stringify(given.slice(0, 60))}`);
  }
  // Ids begin with 1: there is no block 0, as there is none with an id not given out yet.
  const block = id === 0 ? undefined : await cli.withStore('read', (engine) => engine.readBlock(id));
  if (block === undefined) {
    if (cli.json) await cli.out.json({ id, found: false });
    return EXIT_NO;
  }
  const { data, header } = block;
  if (cli.json)
    await cli.out.json({ id, found: true, ...header, data: Buffer.from(data).toString('base64') });
  else await cli.out.bytes(data);
  return EXIT_OK;
}
