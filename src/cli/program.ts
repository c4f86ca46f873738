/**
 * The command line `aegis`: its commands, the options they share, and how every one of them ends. What a command does
 * is in the file of its name; heavy parts are loaded when it runs.
 *
 * 1. Exit status: 0 yes, 1 the answer is no (or a proof failed), 2 wrong usage, 3 the store or the machine failed,
 *    130 stopped by Ctrl-C.
 * 2. What was asked for goes to standard output. An error is one line on standard error, with its code; with `--json`
 *    that line is `{"error": {"code", "message", …}}`. Standard output has nothing but answers.
 */
import { createRequire } from 'node:module';
import { Command, CommanderError } from 'commander';
import { Cli } from './cli.ts';
import { addBackup } from './commands/backup.ts';
import { addBench } from './commands/bench.ts';
import { addBlocks } from './commands/blocks.ts';
import { addCompact } from './commands/compact.ts';
import { addCount } from './commands/count.ts';
import { addDel } from './commands/del.ts';
import { addDemo } from './commands/demo.ts';
import { addDump } from './commands/dump.ts';
import { addGet } from './commands/get.ts';
import { addLoad } from './commands/load.ts';
import { addPage } from './commands/page.ts';
import { addPut } from './commands/put.ts';
import { addSalvage } from './commands/salvage.ts';
import { addScan } from './commands/scan.ts';
import { addShell } from './commands/shell.ts';
import { addStat } from './commands/stat.ts';
import { addDrop, addTrees } from './commands/trees.ts';
import { addVerify } from './commands/verify.ts';
import { addWal } from './commands/wal.ts';
import { EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, failureOf, Interrupted } from './exit.ts';
import { Output, OutputClosed } from './output.ts';
import { addShellCommands } from './shell/commands.ts';
import type { Session } from './shell/session.ts';
import type { Surroundings } from './surroundings.ts';

const KEYS = [addGet, addPut, addDel, addScan, addCount];
const TREES = [addTrees, addDrop];
const WHOLE = [addLoad, addDump, addSalvage];
const MAINTENANCE = [addStat, addVerify, addBackup, addCompact];
const INSIDE = [addPage, addWal, addBlocks];
const TOOLS = [addShell, addBench, addDemo];

/** Runs a command line, without the name of the program; answers the exit status. */
export async function runProgram(line: readonly string[], surroundings: Surroundings): Promise<number> {
  const out = new Output(surroundings.stdout);
  const cli = new Cli(surroundings, out);
  const program = new Command('aegis')
    .description('An embedded transactional key-value store, from the command line.')
    .version(versionOfPackage())
    .option('-d, --directory <folder>', 'folder of the store (default: ./data)')
    .option('--config <file>', 'TOML file with a section [storage]')
    .addHelpText(
      'after',
      `
Examples:
  aegis -d ./data put greeting 'good morning'
  aegis -d ./data get greeting
  aegis help load

Exit status: 0 yes, 1 the answer is no (key absent, damage found), 2 wrong usage, 3 the store failed.`,
    );
  equip(program, cli, [...KEYS, ...TREES, ...WHOLE, ...MAINTENANCE, ...INSIDE, ...TOOLS]);
  cli.runLine = (words, session) => runShellLine(words, surroundings, session);
  cli.wordsFor = (words, session) =>
    wordsAfter(shellProgram(new Cli(surroundings, out, session), session), words, session.engine.trees());
  return runCommand(program, cli, line);
}

/** Runs a line of a shell; answers its exit status. */
async function runShellLine(
  line: readonly string[],
  surroundings: Surroundings,
  session: Session,
): Promise<number> {
  const cli = new Cli(surroundings, new Output(surroundings.stdout), session);
  return runCommand(shellProgram(cli, session), cli, line);
}

function shellProgram(cli: Cli, session: Session): Command {
  const program = new Command('').usage('<command>').helpOption(false);
  equip(program, cli, [...KEYS, ...TREES, ...MAINTENANCE, addPage, addBlocks]);
  addShellCommands(program, cli, session);
  return program;
}

/** What may come after the words of a line: a command, a tree, or an option of the command that was named. */
function wordsAfter(program: Command, words: readonly string[], trees: readonly string[]): readonly string[] {
  if (words.length === 0) return [...program.commands.map((command) => command.name()), 'help'];
  if (['-t', '--tree', 'drop'].includes(words.at(-1) ?? '')) return trees;
  const command = program.commands.find(
    (one) => one.name() === words[0] || one.aliases().includes(words[0] ?? ''),
  );
  if (words[0] === 'help') return program.commands.map((one) => one.name());
  return command?.options.flatMap(({ long }) => long ?? []) ?? [];
}

function equip(
  program: Command,
  cli: Cli,
  commands: readonly ((program: Command, cli: Cli) => void)[],
): void {
  const { stdout, stderr } = cli.surroundings;
  program
    .option('--json', 'answers and errors for programs')
    .showSuggestionAfterError()
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .configureOutput({
      writeOut: (text) => cli.out.add(text),
      writeErr: (text) => void stderr.write(text),
      getOutHasColors: () => stdout.isTTY === true && stdout.hasColors?.() === true,
      getErrHasColors: () => stderr.isTTY === true && stderr.hasColors?.() === true,
      outputError: () => undefined, // said once, by `runCommand`
    });
  for (const add of commands) add(program, cli);
}

async function runCommand(program: Command, cli: Cli, line: readonly string[]): Promise<number> {
  try {
    await program.parseAsync(line, { from: 'user' });
    await cli.out.flush();
    return cli.status;
  } catch (error) {
    // Whoever read the answer had enough of it.
    if (error instanceof OutputClosed) return EXIT_OK;
    if (error instanceof Interrupted) return EXIT_INTERRUPTED;
    const inJson = cli.json || line.includes('--json');
    await cli.out.flush().catch(() => undefined);
    if (error instanceof CommanderError) return reportUsage(error, cli, inJson);
    const { status, text, json } = failureOf(error);
    cli.errorScreen.restore();
    cli.surroundings.stderr.write(inJson ? `${JSON.stringify({ error: json })}\n` : `aegis: ${text}\n`);
    return status;
  }
}

/** What commander throws: help that was asked for, or a command line that makes no sense. */
function reportUsage(error: CommanderError, { surroundings }: Cli, inJson: boolean): number {
  if (error.exitCode === 0) return EXIT_OK;
  if (error.code !== 'commander.help') {
    const message = error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ');
    const json = JSON.stringify({ error: { code: 'USAGE', message } });
    surroundings.stderr.write(inJson ? `${json}\n` : `aegis: ${message}\n`);
  }
  return EXIT_USAGE;
}

function versionOfPackage(): string {
  const require = createRequire(import.meta.url);
  return (require('aegis-storage/package.json') as { version: string }).version;
}
