/**
 * Progress of the store's own long work (verification, backup, compaction, salvage), on standard error: a bar on a terminal, and
 * nothing elsewhere.
 */
import type { StorageEngine } from '../index.ts';
import type { Access, Cli } from './cli.ts';
import { EXIT_INTERRUPTED } from './exit.ts';
import type { Progress } from './screen.ts';

type Phase = 'verify' | 'backup' | 'compaction';

/** What is counted. */
const UNITS: Readonly<Record<Phase, string>> = { verify: 'pages', backup: 'pages', compaction: '' };

/** Opens the store and does long work with it, showing how far it is. */
export async function withProgress<T>(
  cli: Cli,
  access: Access,
  phase: Phase,
  work: (engine: StorageEngine) => Promise<T>,
): Promise<T> {
  return withBar(cli, phase, () => cli.withStore(access, work));
}

/** Does long work that tells `cli.onProgress` how far it is, and shows that. */
export async function withBar<T>(cli: Cli, phase: Phase, work: () => Promise<T>): Promise<T> {
  let bar: { progress: Progress; total: number } | undefined;
  let forget: (() => void) | undefined;
  if (cli.surroundings.stderr.isTTY && !cli.json) {
    // A bar hides the cursor. All this work may be cut off anywhere, like the process itself.
    forget = cli.surroundings.onInterrupt(() => {
      bar?.progress.stop();
      process.exit(EXIT_INTERRUPTED);
    });
    cli.onProgress = (at) => {
      if (at.phase !== phase || at.total === 0) return;
      if (bar?.total !== at.total) {
        bar?.progress.stop();
        bar = { progress: cli.errorScreen.progress(at.total, UNITS[phase]), total: at.total };
      }
      bar.progress.update(at.done);
    };
  }
  try {
    return await work();
  } finally {
    bar?.progress.stop();
    forget?.();
  }
}
