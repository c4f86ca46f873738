/**
 * `aegis compact`: makes the data file as small as what is in it.
 */
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { withProgress } from '../long-work.ts';
import { bytes, count } from '../units.ts';

export function addCompact(program: Command, cli: Cli): void {
  program
    .command('compact')
    .description('give free space at the end of the data file back, and fill pages up')
    .addHelpText(
      'after',
      `
Blocks of another codec than the configured one are written anew.

Example:
  aegis -d ./data compact`,
    )
    .action(cli.action(() => compact(cli)));
}

async function compact(cli: Cli): Promise<undefined> {
  const report = await withProgress(cli, 'change', 'compaction', (engine) => engine.compact());
  if (cli.json) return void (await cli.out.json(report));
  const { bytesBefore, bytesAfter, pagesMoved, pagesFreed, pagesDamaged } = report;
  const left = pagesDamaged === 0 ? '' : `; ${count(pagesDamaged)} damaged pages were left as they are`;
  await cli.out.line(
    `${bytes(bytesBefore)} before, ${bytes(bytesAfter)} now: ${count(pagesMoved)} pages moved, ${count(pagesFreed)} freed${left}`,
  );
}
