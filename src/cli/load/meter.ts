/**
 * Progress of a load, on standard error: how much of a file is read, or how many records have come in when nobody
 * knows how many there will be. Without a terminal it is a few plain lines.
 */
import type { Cli } from '../cli.ts';
import type { Progress } from '../screen.ts';
import { bytes, count } from '../units.ts';

/** Records between two plain lines, when the end is not known. */
const PLAIN_STEP = 100_000;

export interface Meter {
  /** Bytes read and records seen so far. */
  update(size: number, records: number): void;
  /** Takes the display away, before anything else is said. */
  stop(): void;
}

/** Makes the meter for an input of so many bytes; undefined: nobody knows. */
export function meterOf(cli: Cli, size: number | undefined): Meter {
  if (size === undefined) return countingMeter(cli);
  let progress: Progress | undefined = cli.errorScreen.progress(size, '', bytes);
  return {
    update: (done) => progress?.update(Math.min(done, size)),
    stop: () => {
      progress?.stop();
      progress = undefined;
    },
  };
}

function countingMeter({ surroundings: { stderr } }: Cli): Meter {
  const isTerminal = stderr.isTTY === true;
  let shown = 0;
  return {
    update: (size, records) => {
      const step = isTerminal ? PLAIN_STEP / 100 : PLAIN_STEP;
      if (Math.floor(records / step) === shown) return;
      shown = Math.floor(records / step);
      const text = `  ${count(records)} records, ${bytes(size)}`;
      stderr.write(isTerminal ? `\r${text}` : `${text}\n`);
    },
    stop: () => {
      if (isTerminal && shown > 0) stderr.write('\r\u001b[K');
      shown = 0;
    },
  };
}
