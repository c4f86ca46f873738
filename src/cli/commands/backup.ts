/**
 * `aegis backup`: a copy of one committed state, checked, that opens as a store of its own.
 */
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { withProgress } from '../long-work.ts';
import { bytes, count } from '../units.ts';

export function addBackup(program: Command, cli: Cli): void {
  program
    .command('backup')
    .description('copy the store to another folder, and verify the copy')
    .argument('<folder>', 'where the copy goes; made if it is not there, and refused if a store is in it')
    .addHelpText(
      'after',
      `
Example:
  aegis -d ./data backup /mnt/backup/2026-11-27`,
    )
    .action(cli.action((_, folder) => backup(cli, folder as string)));
}

async function backup(cli: Cli, folder: string): Promise<undefined> {
  const report = await withProgress(cli, 'read', 'backup', (engine) => engine.backup(folder));
  if (cli.json) return void (await cli.out.json(report));
  const { pages, records, bytes: size, sequence } = report;
  await cli.out.line(
    `${count(records)} records in ${count(pages)} pages, ${bytes(size)}, as of commit ${count(sequence)}: ${folder}`,
  );
}
