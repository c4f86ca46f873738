/**
 * `aegis wal`: the write-ahead log, its files and what lies in it after the last checkpoint.
 */
import type { Command } from 'commander';
import type { GroupReport, LogReport } from '../../maintenance/log-report.ts';
import type { Cli } from '../cli.ts';
import { encode, encodeJson } from '../encoding.ts';
import type { EncodingOptions } from '../options.ts';
import { wholeNumber, withKeyEncoding } from '../options.ts';
import { bytes, count } from '../units.ts';

interface WalOptions extends EncodingOptions {
  readonly records?: true;
  readonly limit: number;
}

/** Groups listed unless asked for more. */
const GROUPS_SHOWN = 20;

export function addWal(program: Command, cli: Cli): void {
  withKeyEncoding(program.command('wal'))
    .description('show the log: its files, and the groups, commits and records after the last checkpoint')
    .option('-r, --records', 'list the records too')
    .option('-n, --limit <groups>', 'groups to list', wholeNumber(0), GROUPS_SHOWN)
    .addHelpText(
      'after',
      `
A closed store has nothing in its log: closing writes a checkpoint. After a crash this is what opening replays.

Examples:
  aegis -d ./data wal
  aegis -d ./data wal --records --limit 1000`,
    )
    .action(cli.action((options: WalOptions) => wal(cli, options)));
}

async function wal(cli: Cli, options: WalOptions): Promise<undefined> {
  const [{ reportLog }, { backendOf }] = await Promise.all([
    import('../../maintenance/log-report.ts'),
    import('../../engine/open.ts'),
  ]);
  const listed: GroupReport[] = [];
  const report = await cli.withStore('read', async (_, engineCore) => {
    const { core, superblock } = engineCore.store;
    return reportLog(core, await backendOf(engineCore.config), superblock, (group) => {
      if (listed.length < options.limit) listed.push(group);
    });
  });
  if (cli.json)
    return void (await cli.out.json({ ...report, list: listed.map((group) => jsonOf(group, options)) }));
  show(cli, report);
  for (const group of listed) await showGroup(cli, group, options);
  if (report.groups > listed.length)
    await cli.out.line(`  … ${count(report.groups - listed.length)} more groups`);
}

function jsonOf({ records, ...group }: GroupReport, options: WalOptions): object {
  if (!options.records) return group;
  return {
    ...group,
    records: records.map((record) => ({ ...record, key: encodeJson(record.key, options.keyEncoding) })),
  };
}

function show({ screen }: Cli, report: LogReport): void {
  screen.heading('log');
  screen.fact(
    'checkpoint',
    `LSN ${report.checkpointLsn}`,
    `holds commit ${count(report.checkpointSequence)}`,
  );
  screen.fact('end', `LSN ${report.endLsn}`, `commit ${count(report.lastSequence)}`);
  screen.fact('known to be durable', `LSN ${report.durableLsn}`);
  screen.fact(
    'to replay',
    bytes(report.bytes),
    `${count(report.groups)} groups, ${count(report.commits)} commits, ${count(report.records)} records`,
  );
  screen.heading('files');
  const columns = [
    { title: 'file' },
    { title: 'size', align: 'right' },
    { title: 'first LSN', align: 'right' },
    { title: 'to replay', align: 'right' },
  ] as const;
  const rows = report.segments.map(({ file, size, firstLsn, live }) => [
    file,
    bytes(size),
    firstLsn === undefined ? 'never used' : String(firstLsn),
    bytes(live),
  ]);
  screen.table(columns, rows);
  if (report.groups > 0) screen.heading('groups');
}

async function showGroup(
  { out }: Cli,
  group: GroupReport,
  { records, keyEncoding }: WalOptions,
): Promise<void> {
  const commits = group.parts.map(({ sequence, ends }) => `${sequence}${ends ? '' : ' (goes on)'}`);
  const shown = commits.length > 3 ? `${commits[0]} … ${commits.at(-1)}` : commits.join(', ');
  await out.line(
    `  LSN ${group.lsn}, ${bytes(group.size)}: ${count(group.records.length)} records of commit ${shown}`,
  );
  if (!records) return;
  for (const { kind, tree, key, valueSize } of group.records) {
    const of = tree === 1 ? '' : ` in tree ${tree}`;
    const value = kind === 'delete' ? '' : `  ${bytes(valueSize)}`;
    await out.line(`    ${kind}${of}  ${JSON.stringify(encode(key, keyEncoding))}${value}`);
  }
}
