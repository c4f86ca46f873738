/**
 * `aegis shell`: commands line by line on one open store, with transactions. At a terminal it has a prompt, history and
 * completion; otherwise it is a script that ends at the first line that fails.
 */
import { createInterface, type Interface } from 'node:readline';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { EXIT_INTERRUPTED, EXIT_NO, EXIT_OK, EXIT_USAGE, UsageError } from '../exit.ts';
import { History } from '../shell/history.ts';
import { Session } from '../shell/session.ts';
import { wordsOf } from '../shell/words.ts';

export function addShell(program: Command, cli: Cli): void {
  program
    .command('shell')
    .description('work on the store line by line, with transactions; makes the store if it is not there')
    .addHelpText(
      'after',
      `
Lines are commands such as get, put, scan, begin, commit; help lists them. Quotes keep words together, # begins a
comment. Without a terminal the first line that fails ends the shell with its status; an absent key is no failure.
At a terminal Ctrl-C ends the scan that runs; the shell and its transaction stay. A transaction that is open where
the input ends is given up, and the status is 1.

Examples:
  aegis -d ./data shell
  printf 'begin\\nput a 1\\nput b 2\\ncommit\\n' | aegis -d ./data shell`,
    )
    .action(cli.action(() => shell(cli)));
}

async function shell(cli: Cli): Promise<number> {
  return cli.withStore('create', async (engine, engineCore) => {
    const session = new Session(engine, engineCore);
    const { stdin, stdout } = cli.surroundings;
    const isTerminal = stdin.isTTY === true && stdout.isTTY === true;
    const status = isTerminal ? await talk(cli, session) : await runScript(cli, session);
    if (session.transaction === undefined) return status;
    session.abort();
    const text = 'the transaction was not committed, and is given up';
    const json = JSON.stringify({ error: { code: 'NOT_COMMITTED', message: text } });
    cli.surroundings.stderr.write(cli.json ? `${json}\n` : `aegis: ${text}\n`);
    // Whoever says exit knows; input that ends is cut off as likely as not.
    return session.isEnding ? status : Math.max(status, EXIT_NO);
  });
}

async function runScript(cli: Cli, session: Session): Promise<number> {
  const { stdin, onInterrupt } = cli.surroundings;
  const lines = createInterface({ input: stdin, crlfDelay: Number.POSITIVE_INFINITY });
  let isStopped = false;
  let forget = (): void => undefined;
  const listen = () => {
    forget = onInterrupt(() => {
      // Whoever types the lines means the one that runs; a script ends as a whole.
      const wasRunning = session.interrupt();
      if (wasRunning && stdin.isTTY) return listen();
      isStopped = true;
      lines.close();
    });
  };
  listen();
  try {
    for await (const line of lines) {
      if (isStopped) break;
      const status = await runLine(cli, session, line);
      if (isStopped || session.isEnding) break;
      if (status > EXIT_NO && !session.isInterrupted) return status;
    }
    return isStopped ? EXIT_INTERRUPTED : EXIT_OK;
  } finally {
    forget();
    lines.close();
  }
}

async function talk(cli: Cli, session: Session): Promise<number> {
  const { stdin, stdout, environment } = cli.surroundings;
  const history = new History(environment);
  let kept = history.read();
  await cli.out.line(
    `The store in ${session.engine.config.dataDirectory}. help lists the commands, exit leaves.`,
  );
  await cli.out.flush();
  const terminal = createInterface({
    input: stdin,
    output: stdout,
    history: kept,
    removeHistoryDuplicates: true,
    completer: (line: string) => complete(cli, session, line),
  });
  terminal.on('history', (lines: string[]) => {
    kept = [...lines];
  });
  terminal.on('SIGINT', () => {
    // What runs ends, or else the line so far goes; the shell stays.
    if (!session.interrupt()) terminal.write(null, { ctrl: true, name: 'u' });
  });
  // From here on to the loop nothing may wait: a line that nobody listens for is lost.
  ask(terminal, session);
  for await (const line of terminal) {
    await runLine(cli, session, line);
    if (session.isEnding) break;
    ask(terminal, session);
  }
  terminal.close();
  history.keep(kept);
  return EXIT_OK;
}

function ask(terminal: Interface, { transaction }: Session): void {
  terminal.setPrompt(transaction ? 'aegis (in a transaction)> ' : 'aegis> ');
  terminal.prompt();
}

async function runLine(cli: Cli, session: Session, line: string): Promise<number> {
  if (line.trim() === '' || line.trimStart().startsWith('#')) return EXIT_OK;
  try {
    const words = wordsOf(line);
    return await session.run(() => cli.runLine(cli.json ? ['--json', ...words] : words, session));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    const { message } = error;
    const json = JSON.stringify({ error: { code: 'USAGE', message } });
    cli.surroundings.stderr.write(cli.json ? `${json}\n` : `aegis: ${message}\n`);
    return EXIT_USAGE;
  }
}

/** What a line may go on with: the names of commands, and of their options. */
function complete(cli: Cli, session: Session, line: string): [string[], string] {
  const words = line.trimStart().split(/\s+/);
  const last = words.at(-1) ?? '';
  const known = cli.wordsFor(words.slice(0, -1), session);
  return [known.filter((word) => word.startsWith(last)).map((word) => `${word} `), last];
}
