/** Keeps the figure of the branches that ran, once all tests have: called only when coverage is on. */
import type { Reporter } from 'vitest/reporters';
import { report } from '../support/report.ts';

/** What of a coverage map is read here: for each file, how often each way of each branch was taken. */
interface CoverageMap {
  files(): string[];
  fileCoverageFor(file: string): { readonly b: Readonly<Record<string, readonly number[]>> };
}

export default class BranchReporter implements Reporter {
  onCoverage(coverage: unknown): void {
    const map = coverage as CoverageMap;
    const ways = map.files().flatMap((file) => Object.values(map.fileCoverageFor(file).b).flat());
    const taken = ways.filter((times) => times > 0).length;
    report(
      'branch coverage (TypeScript)',
      { branches: `${taken} of ${ways.length}`, files: map.files().length },
      'AEGIS_COVERAGE=1 npm test',
    );
  }
}
