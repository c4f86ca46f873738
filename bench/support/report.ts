/**
 * Rows of samples, and how they are shown: a table for people, JSON for programs.
 *
 * A sample is a pair taken one right after the other, so that noise of the machine hits both; the ratio of a row is
 * the median of the ratios of its pairs, which holds still where absolute times do not.
 */

/** One measurement of both sides: nanoseconds an operation. */
export interface Sample {
  readonly ours: number;
  readonly peer: number;
}

/** What is measured of one workload. */
export interface Row {
  readonly name: string;
  /** Ratio that the project has set itself. */
  readonly goal: number | undefined;
  readonly samples: Sample[];
}

/** All rows of a run, in the order of their first sample. */
export class Report {
  readonly #rows = new Map<string, Row>();

  add(name: string, sample: Sample, goal?: number): void {
    const row = this.#rows.get(name) ?? { name, goal, samples: [] };
    row.samples.push(sample);
    this.#rows.set(name, row);
  }

  /** Medians and ratios, row by row. */
  summary(): Summary[] {
    return [...this.#rows.values()].map(({ name, goal, samples }) => {
      const ratios = samples.map(({ ours, peer }) => peer / ours);
      return {
        name,
        ours: median(samples.map((sample) => sample.ours)),
        peer: median(samples.map((sample) => sample.peer)),
        ratio: median(ratios),
        lowest: Math.min(...ratios),
        highest: Math.max(...ratios),
        samples: samples.length,
        goal,
      };
    });
  }
}

/** A row as it is reported: times in nanoseconds an operation, ratios peer / ours. */
export interface Summary {
  readonly name: string;
  readonly ours: number;
  readonly peer: number;
  readonly ratio: number;
  readonly lowest: number;
  readonly highest: number;
  readonly samples: number;
  readonly goal: number | undefined;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** The table for people. */
export function tableOf(rows: readonly Summary[]): string {
  const head = ['', 'ours ns/op', 'lmdb ns/op', 'ratio', 'of pairs', 'goal'];
  const lines = rows.map((row) => [
    row.name,
    row.ours.toFixed(0),
    row.peer.toFixed(0),
    `${row.ratio.toFixed(2)}x`,
    `${row.lowest.toFixed(2)}-${row.highest.toFixed(2)}`,
    row.goal === undefined ? '' : `${row.goal}x ${row.ratio >= row.goal ? 'reached' : 'missed'}`,
  ]);
  const widths = head.map((_, column) =>
    Math.max(...[head, ...lines].map((line) => (line[column] as string).length)),
  );
  const show = (line: readonly string[]): string =>
    line
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] as number) : cell.padStart(widths[column] as number),
      )
      .join('  ')
      .trimEnd();
  return [show(head), ...lines.map(show)].join('\n');
}
