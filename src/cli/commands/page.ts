/**
 * `aegis page`: one page as it lies in the store.
 */
import type { Command } from 'commander';
import type { PageReport } from '../../maintenance/page-report.ts';
import type { Cli } from '../cli.ts';
import { encode, encodeJson } from '../encoding.ts';
import { EXIT_NO, EXIT_OK, UsageError } from '../exit.ts';
import type { EncodingOptions } from '../options.ts';
import { withKeyEncoding } from '../options.ts';
import { bytes, percent } from '../units.ts';

/** Keys that are listed, from either end. */
const KEYS_SHOWN = 8;
const HEX_WIDTH = 16;
const HEX_LINES = 8;
const PAGE_MAX = 2 ** 31 - 1;

export function addPage(program: Command, cli: Cli): void {
  withKeyEncoding(program.command('page'))
    .description('show a page: kind, level, keys, where it lies; status 1 when it is not in use, or damaged')
    .argument('<number>', 'page number; 1 is the root of the store')
    .addHelpText(
      'after',
      `
Examples:
  aegis -d ./data page 1
  aegis -d ./data --json page 1 | jq .children`,
    )
    .action(cli.action((options: EncodingOptions, number) => page(cli, options, number as string)));
}

async function page(cli: Cli, { keyEncoding }: EncodingOptions, given: string): Promise<number> {
  const number = Number(given);
  if (!/^\d+$/.test(given) || number < 1 || number > PAGE_MAX) {
    throw new UsageError(
      `a page number is a whole number from 1 to ${PAGE_MAX}, not ${JSON.stringify(given)}`,
    );
  }
  const { reportPage } = await import('../../maintenance/page-report.ts');
  const report = await cli.withStore('read', (_, engineCore) => {
    const handle = engineCore.handles.take();
    try {
      return reportPage(engineCore.store.pager, number, handle.epoch);
    } finally {
      handle.close();
    }
  });
  if (cli.json)
    await cli.out.json(report === undefined ? { page: number, found: false } : jsonOf(report, keyEncoding));
  else if (report === undefined) await cli.out.line(`page ${number} is not in use`);
  else show(cli, report, keyEncoding);
  return report === undefined || report.problems.length > 0 ? EXIT_NO : EXIT_OK;
}

function jsonOf(report: PageReport, encoding: EncodingOptions['keyEncoding']): object {
  const { extent, keys, ...rest } = report;
  const shown = keys.map((key) => encodeJson(key, encoding));
  const place = extent && { ...extent, bytes: Buffer.from(extent.bytes).toString('hex') };
  return { ...rest, found: true, ...(place ? { extent: place } : {}), keys: shown };
}

function show(cli: Cli, report: PageReport, encoding: EncodingOptions['keyEncoding']): void {
  const { screen } = cli;
  const { kind, level, slots, fill, epoch, extent, keys, children, problems } = report;
  screen.heading(`page ${report.page}`, kind ?? 'damaged');
  for (const problem of problems) screen.say(screen.paint('red', problem));
  if (kind !== undefined) {
    if (kind !== 'overflow') screen.fact('level', String(level));
    if (kind !== 'overflow') screen.fact(kind === 'leaf' ? 'records' : 'children', String(slots));
    screen.fact('fill', percent(fill ?? 0, 1));
    screen.fact('written in epoch', String(epoch));
  }
  if (extent) {
    screen.fact('lies in', extent.file, `offset ${extent.offset}, ${bytes(extent.size)}`);
    screen.fact('codec', extent.codec);
    screen.fact('checksum', extent.checksum);
  } else screen.fact('lies in', 'memory', 'the next checkpoint writes it');
  if (keys.length > 0) {
    screen.heading('keys');
    for (const [slot, key] of keys.entries()) {
      if (slot >= KEYS_SHOWN && slot < keys.length - KEYS_SHOWN) {
        if (slot === KEYS_SHOWN) screen.say(`… ${keys.length - 2 * KEYS_SHOWN} more`);
        continue;
      }
      const below = children[slot] === undefined ? '' : ` -> page ${children[slot]}`;
      screen.say(`${String(slot).padStart(5)}  ${shownKey(key, slot, kind, encoding)}${below}`);
    }
  }
  if (!extent) return;
  screen.heading('bytes', 'as the block begins in the file');
  for (const line of hexLines(extent.bytes.subarray(0, HEX_WIDTH * HEX_LINES))) screen.say(line);
}

function shownKey(
  key: Uint8Array,
  slot: number,
  kind: PageReport['kind'],
  encoding: EncodingOptions['keyEncoding'],
): string {
  if (kind === 'inner' && slot === 0) return '(all below)';
  return JSON.stringify(encode(key, encoding));
}

/** Bytes as a hex dump: offset, two digits a byte, and what is ASCII. */
function hexLines(data: Uint8Array): string[] {
  const lines: string[] = [];
  for (let at = 0; at < data.length; at += HEX_WIDTH) {
    const some = [...data.subarray(at, at + HEX_WIDTH)];
    const hex = some.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = some.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('');
    lines.push(`${at.toString(16).padStart(4, '0')}  ${hex.padEnd(HEX_WIDTH * 3)} ${text}`);
  }
  return lines;
}
