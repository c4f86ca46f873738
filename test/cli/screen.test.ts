/* What the command line writes: columns, units, and colours only where they are wanted. */
import { expect, onTestFinished, test } from 'vitest';
import { Screen } from '../../src/cli/screen.ts';
import { layOut, textWidth } from '../../src/cli/table.ts';
import { bytes, percent, rate, time } from '../../src/cli/units.ts';

/** A terminal, or a file, that keeps what is written. */
function stream(isTTY: boolean) {
  const written: string[] = [];
  const fake = { isTTY, hasColors: () => true, write: (text: string) => written.push(text) };
  return { written, stream: fake as unknown as NodeJS.WriteStream };
}

function withNoColor(value: string | undefined): void {
  const before = process.env['NO_COLOR'];
  const set = (to: string | undefined) => {
    if (to === undefined) delete process.env['NO_COLOR'];
    else process.env['NO_COLOR'] = to;
  };
  set(value);
  onTestFinished(() => set(before));
}

test('screen: colours are for terminals', () => {
  withNoColor(undefined);
  expect(new Screen(stream(true).stream).paint('bold', 'x')).toContain('\u001b[1m');
  expect(new Screen(stream(false).stream).paint('bold', 'x')).toBe('x');
});

test('screen: NO_COLOR switches colours off, an empty one does not', () => {
  withNoColor('1');
  expect(new Screen(stream(true).stream).paint('bold', 'x')).toBe('x');
  process.env['NO_COLOR'] = '';
  expect(new Screen(stream(true).stream).paint('bold', 'x')).toContain('\u001b[1m');
});

test('screen: without a terminal progress is four plain lines', () => {
  const { written, stream: plain } = stream(false);
  const progress = new Screen(plain).progress(1000, 'records');
  for (let done = 0; done <= 1000; done += 10) progress.update(done);
  progress.stop();
  expect(written).toEqual([
    '   25 %    250 of 1,000 records\n',
    '   50 %    500 of 1,000 records\n',
    '   75 %    750 of 1,000 records\n',
    '  100 %  1,000 of 1,000 records\n',
  ]);
});

test('table: columns are as wide as what is seen of their cells', () => {
  const columns = [{ title: 'city' }, { title: 'people', align: 'right' }] as const;
  const { heading, lines } = layOut(columns, [
    ['Qarqi\u0304n', '15'],
    ['\u001b[1mUlm\u001b[22m', '126,949'],
  ]);
  expect(heading).toBe('city     people');
  expect(lines.map(textWidth)).toEqual([15, 15]);
});

test('units: numbers keep three digits that count', () => {
  expect([0, 999, 1000, 1536, 29_000_000, 3 * 2 ** 30].map(bytes)).toEqual([
    '0 B',
    '999 B',
    '0.98 KB',
    '1.50 KB',
    '27.7 MB',
    '3.00 GB',
  ]);
  expect([rate(135_233, 1000), rate(5, 1000)]).toEqual(['135,000', '5.00']);
  expect([time(0.5), time(12.34), time(1500)]).toEqual(['0.50 ms', '12.3 ms', '1.50 s']);
  expect([percent(1, 3), percent(99_999, 100_000), percent(5, 5), percent(0, 0)]).toEqual([
    '33.3 %',
    '99.9 %',
    '100.0 %',
    '0.0 %',
  ]);
});
