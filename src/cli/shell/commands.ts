/**
 * Commands that only a shell has: transactions with their savepoints, and the way out.
 */
import { type Command, Option } from 'commander';
import type { IsolationLevel } from '../../index.ts';
import type { Cli } from '../cli.ts';
import type { Session } from './session.ts';

interface BeginOptions {
  readonly isolation: IsolationLevel;
}

const LAST = 'last';

/** Adds them for the lines of a session. */
export function addShellCommands(program: Command, cli: Cli, session: Session): void {
  const say = async (answer: object, text: string): Promise<undefined> => {
    if (cli.json) await cli.out.json(answer);
    else if (cli.out.isTerminal) await cli.out.line(text);
  };
  const isolation = new Option('-i, --isolation <level>', 'what others may do meanwhile');
  program
    .command('begin')
    .description('begin a transaction')
    .addOption(isolation.choices(['snapshot', 'serializable']).default('snapshot'))
    .action(
      cli.action((options: BeginOptions) => {
        session.begin(options.isolation);
        return say({ begun: true }, 'a transaction has begun');
      }),
    );
  program
    .command('commit')
    .description('commit the transaction; status 3 and nothing changed when it conflicts')
    .action(
      cli.action(async () => {
        const sequence = await session.commit();
        return say({ sequence }, `committed, number ${sequence}`);
      }),
    );
  program
    .command('abort')
    .description('give the transaction up')
    .action(
      cli.action(() => {
        session.abort();
        return say({ aborted: true }, 'given up');
      }),
    );
  program
    .command('savepoint')
    .description('note the present point of the transaction')
    .argument('[name]', 'its name', LAST)
    .action(
      cli.action((_, name = LAST) => {
        session.savepoint(name);
        return say({ savepoint: name }, `savepoint ${name}`);
      }),
    );
  program
    .command('rollback')
    .description('take back what the transaction has written since a savepoint')
    .argument('[name]', 'its name (default: the newest)')
    .action(
      cli.action((_, name?: string) => {
        const savepoint = session.rollback(name);
        return say({ savepoint }, `back at savepoint ${savepoint}`);
      }),
    );
  program
    .command('exit')
    .alias('quit')
    .description('leave the shell')
    .action(
      cli.action(() => {
        session.isEnding = true;
        return undefined;
      }),
    );
}
