/**
 * `aegis trees`: the named trees of a store; and `aegis drop`: takes one away with all its records.
 */
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { EXIT_NO, EXIT_OK, UsageError } from '../exit.ts';
import { count } from '../units.ts';

export function addTrees(program: Command, cli: Cli): void {
  program
    .command('trees')
    .description('list the named trees, with the number of their records')
    .addHelpText(
      'after',
      `
Example:
  aegis -d ./data trees`,
    )
    .action(cli.action(() => trees(cli)));
}

export function addDrop(program: Command, cli: Cli): void {
  program
    .command('drop')
    .description('remove a named tree with all its records; status 1 when there is none')
    .argument('<tree>', 'its name')
    .addHelpText(
      'after',
      `
Example:
  aegis -d ./data drop sessions`,
    )
    .action(cli.action((_, name) => drop(cli, name as string)));
}

async function trees(cli: Cli): Promise<undefined> {
  const list = await cli.withStore('read', (engine) =>
    engine.trees().map((name) => ({ name, records: engine.tree(name).count() })),
  );
  if (cli.json) return void (await cli.out.json({ trees: list }));
  if (list.length === 0) return;
  const rows = list.map(({ name, records }) => [name, count(records)]);
  cli.screen.table([{ title: 'tree' }, { title: 'records', align: 'right' }], rows);
}

async function drop(cli: Cli, name: string): Promise<number> {
  if (cli.shell?.transaction)
    throw new UsageError('drop is a transaction of its own; commit or abort this one first');
  const dropped = await cli.withStore('change', (engine) => engine.dropTree(name));
  if (cli.json) await cli.out.json({ tree: name, dropped });
  return dropped ? EXIT_OK : EXIT_NO;
}
