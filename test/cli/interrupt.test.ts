/* Ctrl-C in a shell: it ends what runs at a terminal and nothing else, and a script as a whole. */
import { PassThrough, type Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { filled } from './store.ts';

const CTRL_C = '\u0003';
const COUNT = 60_000;

/** A store whose scan takes a while. */
const large = () => filled(Array.from({ length: COUNT }, (_, at) => [`key-${at}`, 'v'.repeat(50)] as const));

/** Somebody at a keyboard: what to type when a text has been seen, each once and in this order. */
function keyboardOf(steps: [seen: RegExp, typed: string][]) {
  const keyboard = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => undefined });
  let text = '';
  const watch = (some: string) => {
    text += some;
    const [step] = steps;
    if (!step?.[0].test(text)) return;
    text = '';
    steps.shift();
    setImmediate(() => keyboard.write(step[1])); // a line that comes with the prompt is lost
  };
  return { terminal: keyboard as unknown as Readable, watch, environment: { NO_COLOR: '1' } };
}

test.each(['scan', 'scan --keys', 'scan --json'])(
  'cli: at a terminal Ctrl-C ends a %s, and leaves the shell, its transaction and its next lines',
  async (line) => {
    const place = await large();
    const keyboard = keyboardOf([
      [/aegis> /, 'begin\r'],
      [/transaction\)> /, 'put a 1\r'],
      [/transaction\)> /, `${line}\r`],
      [/key-1/, CTRL_C],
      [/transaction\)> /, 'get a\r'],
      [/\n1\n.*\)> /s, 'commit\r'],
      [/aegis> /, 'count\r'],
      [/\d\n.*aegis> /s, `nonsense${CTRL_C}exit\r`],
    ]);
    const { status, output, errors } = await place.run(['shell'], keyboard);
    expect({ status, errors }).toEqual({ status: 0, errors: '' });
    expect(output.match(/key-\d+/g)!.length).toBeLessThan(COUNT);
    expect(output).toContain(`${COUNT + 1}\n`);
    expect((await place.run(['get', 'a'])).output).toBe('1\n');
  },
);

test('cli: a signal ends a script after the line that runs, with 130, and nothing behind it is done', async () => {
  const place = await large();
  let stop = (): void => undefined;
  const { status, output, errors } = await place.run(['shell'], {
    stdin: ['begin\nput a 1\nscan\ncommit\nput b 1\n'],
    interrupt: (call) => {
      stop = call;
    },
    watch: () => stop(),
  });
  expect(status).toBe(130);
  expect(errors).toBe('aegis: the transaction was not committed, and is given up\n');
  expect(output.split('\n').length).toBeLessThan(COUNT);
  expect((await place.run(['count'])).output).toBe(`${COUNT}\n`);
});

test('cli: a signal ends a shell that waits for lines', async () => {
  const place = await filled({ a: '1' });
  const waiting = async function* () {
    yield 'get a\n';
    await new Promise(() => undefined);
  };
  let stop = (): void => undefined;
  const { status, output } = await place.run(['shell'], {
    stdin: waiting(),
    interrupt: (call) => {
      stop = call;
    },
    watch: () => setTimeout(() => stop(), 10),
  });
  expect({ status, output }).toEqual({ status: 130, output: '1\n' });
});

test('cli: where somebody types and the output goes elsewhere, a signal ends the scan and the shell goes on', async () => {
  const place = await large();
  const keyboard = Object.assign(new PassThrough(), { isTTY: true });
  keyboard.write('scan\n');
  let stop = (): void => undefined;
  const { status, output } = await place.run(['shell'], {
    stdin: keyboard,
    interrupt: (call) => {
      stop = call;
    },
    watch: (text) => {
      if (!text.includes('key-1')) return;
      stop();
      keyboard.end('count\n');
    },
  });
  expect(status).toBe(0);
  expect(output.split('\n').length).toBeLessThan(COUNT);
  expect(output).toMatch(new RegExp(`\\n${COUNT}\\n$`));
});
