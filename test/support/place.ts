/* Folders for one test: made in the system's temporary folder, taken away when the test has ended. */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A new empty folder, removed with everything in it after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), 'aegis-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
