/**
 * `aegis demo`, and the hidden command that is the process it kills.
 */
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import type { DemoOptions } from '../demo.ts';
import { wholeNumber } from '../options.ts';

export function addDemo(program: Command, cli: Cli): void {
  program
    .command('demo')
    .description(
      'load a public data set, read it, kill a writer in mid-commit, and prove that nothing was lost',
    )
    .option('-r, --records <number>', 'how many of the records to load (default: all)', wholeNumber(1000))
    .option('-k, --kills <number>', 'how often to kill the writer', wholeNumber(1, 1000), 5)
    .option('--keep', 'keep the temporary store and say where it is')
    .addHelpText(
      'after',
      '\nWithout --directory the store is in a temporary folder, which is removed at the end.',
    )
    .action(
      cli.action(async (options: DemoOptions) => {
        const { runDemo } = await import('../demo.ts');
        return runDemo({ ...options, ...cli.options });
      }),
    );

  program
    .command('demo-writer', { hidden: true })
    .description('the process that the demo kills')
    .argument('<folder>', 'where the store is')
    .argument('<first>', 'number of the first transaction', wholeNumber(1))
    .action(async (folder: string, first: number) => {
      const { runWriter } = await import('../demo/writer.ts');
      await runWriter(folder, first);
    });
}
