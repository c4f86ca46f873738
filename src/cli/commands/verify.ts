/**
 * `aegis verify`: every checksum and every structural rule. Damage is listed, a line each, and nothing is changed.
 */
import type { Command } from 'commander';
import { AegisError } from '../../base/errors.ts';
import type { VerifyProblem, VerifyReport } from '../../index.ts';
import type { Cli } from '../cli.ts';
import { EXIT_NO, EXIT_OK } from '../exit.ts';
import { withProgress } from '../long-work.ts';
import { count } from '../units.ts';

export function addVerify(program: Command, cli: Cli): void {
  program
    .command('verify')
    .description('check every page and every rule of the store; status 1 when damage is found')
    .addHelpText(
      'after',
      `
Examples:
  aegis -d ./data verify
  aegis -d ./data verify && aegis -d ./data backup /mnt/backup`,
    )
    .action(cli.action(() => verify(cli)));
}

async function verify(cli: Cli): Promise<number> {
  const report = await withProgress(cli, 'read', 'verify', (engine) => engine.verify()).catch(reportOf);
  const { ok, problems, problemCount, pages, records } = report;
  if (cli.json) {
    await cli.out.json(report);
    return ok ? EXIT_OK : EXIT_NO;
  }
  for (const problem of problems) await cli.out.line(lineOf(problem));
  if (problemCount > problems.length)
    await cli.out.line(`… and ${count(problemCount - problems.length)} more`);
  const what = `${count(pages)} pages, ${count(records)} records`;
  const found = problemCount === 1 ? '1 problem' : `${count(problemCount)} problems`;
  await cli.out.line(ok ? `ok: ${what}` : `damaged: ${found}; ${what}`);
  return ok ? EXIT_OK : EXIT_NO;
}

/** A store too damaged to be opened is damage found. */
function reportOf(error: unknown): VerifyReport {
  if (!(error instanceof AegisError) || error.code !== 'CORRUPTION') throw error;
  const { message, file, offset, page } = error;
  const problem = {
    message,
    ...(file === undefined ? {} : { file }),
    ...(offset === undefined ? {} : { offset }),
    ...(page === undefined ? {} : { page }),
  };
  return { ok: false, problems: [problem], problemCount: 1, pages: 0, records: 0 };
}

function lineOf({ message, file, offset }: VerifyProblem): string {
  if (file === undefined || message.includes(file)) return message;
  return `${message} (${file}${offset === undefined ? '' : `, offset ${offset}`})`;
}
