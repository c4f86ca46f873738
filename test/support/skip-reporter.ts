/** Says in one line which tests did not run, so that a skip is never mistaken for a pass. */
import type { Reporter, TestModule } from 'vitest/node';

export default class SkipReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const names = modules.flatMap((module) =>
      [...module.children.allTests('skipped')].map((test) => test.fullName),
    );
    process.stdout.write(
      names.length === 0 ? 'skipped: nothing\n' : `skipped (${names.length}): ${names.join('; ')}\n`,
    );
  }
}
