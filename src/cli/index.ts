#!/usr/bin/env node
/**
 * The command line `aegis`. This file knows the commands, the options they share, and how every one of them ends;
 * what a command does is in the file of its name, loaded when the command runs.
 *
 * 1. Exit status: 0 yes, 1 the answer is no (or a proof failed), 2 wrong usage, 3 the store or the machine failed.
 * 2. What was asked for goes to standard output. An error is one line on standard error, with its code.
 */
import { createRequire } from 'node:module';
import { Command, CommanderError } from 'commander';
import { EXIT_USAGE, reportFailure } from './exit.ts';
import { wholeNumber } from './options.ts';

const { version } = createRequire(import.meta.url)('aegis-storage/package.json') as { version: string };

const program = new Command('aegis')
  .description('An embedded transactional key-value store, from the command line.')
  .version(version)
  .option('-d, --directory <folder>', 'folder of the store')
  .showSuggestionAfterError()
  .configureHelp({ showGlobalOptions: true })
  .exitOverride()
  .configureOutput({
    outputError: (text, write) => write(text.replace(/^error: /, 'aegis: ').replace(/\n(?=.)/g, ' ')),
  });

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
  .action(async (_, command: Command) => {
    const { runDemo } = await import('./demo.ts');
    process.exitCode = await runDemo(command.optsWithGlobals());
  });

program
  .command('demo-writer', { hidden: true })
  .description('the process that the demo kills')
  .argument('<folder>', 'where the store is')
  .argument('<first>', 'number of the first transaction', wholeNumber(1))
  .action(async (folder: string, first: number) => {
    const { runWriter } = await import('./demo/writer.ts');
    await runWriter(folder, first);
  });

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
  else process.exitCode = reportFailure(error);
}
