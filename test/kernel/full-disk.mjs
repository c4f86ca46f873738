/*
 * Full disks of every size. A tmpfs of a few hundred KiB is filled until nothing fits any more; there deletes and a
 * checkpoint must succeed, and when the disk is made larger the same open store must work again. Every third child is
 * killed on the full disk instead, and another one opens what it left. One child meets a file size limit (EFBIG).
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { mount, run } from './system.mjs';

export const ROW = 'full disk (tmpfs)';
export const needs = { programs: ['unshare', 'mount', 'umount', 'prlimit'], files: [] };

/**
 * Disk sizes in KiB. Up to half a MiB there is room for a store and its log at the most, and for no record: a few
 * sizes show that nothing breaks there. Above, every step up to several times the log.
 */
const DISKS = [
  ...Array.from({ length: 8 }, (_, index) => 4 + 64 * index),
  ...Array.from({ length: 384 }, (_, index) => 512 + 4 * index),
];
export const SIZES = { quick: 16, long: 1 }; // of so many sizes one is tried
const CONTROL_DISK = 1800; // KiB
const GROWN = 8 * 1024; // KiB more
const FILE_LIMIT = 2 * 1024 * 1024; // bytes

/** Which records a child keeps, by what it said; the one that was under way when it died is open. */
function recordsOf(lines, known = []) {
  const records = new Set(known);
  for (const line of lines) {
    const [word, number] = line.split(' ');
    if (word === 'kept') records.add(Number(number));
    if (word === 'gone') records.delete(Number(number));
  }
  return [...records];
}

function orderFor(kit, directory, index) {
  const pageSize = [4096, 8192][index % 2];
  const checkpointWalSize = index % 7 === 6 ? '4MB' : '512KB';
  const config = { pageSize, bufferPoolSize: 64 * pageSize, checkpointWalSize };
  return { directory, config, package: kit.package, seed: index, known: [], blocking: index % 5 === 0 };
}

async function fillOne(kit, folder, { kib, index, control }, tally) {
  const unmount = await mount(folder, '-t', 'tmpfs', '-o', `size=${kib}k`, 'tmpfs');
  const child = kit.start();
  try {
    const order = { ...orderFor(kit, join(folder, 'store'), index), role: 'fill', control };
    child.order(order);
    const full = JSON.parse(await child.said('full'));
    if (full.opened) tally.opened++;
    if (full.opened && index % 3 === 2) {
      await child.kill();
      const next = kit.start();
      try {
        const known = recordsOf(child.lines);
        tally.killed++;
        const answer = await next.ask({ ...order, role: 'checkDisk', known });
        tally.deleted += answer.deleted;
        return answer.problems;
      } finally {
        await next.kill();
      }
    }
    const from = child.lines.length;
    if (full.opened) {
      child.order('empty');
      await child.said('again', from);
    }
    await run('mount', '-o', `remount,size=${kib + GROWN}k`, folder);
    const answer = await child.ask('grown');
    tally.refused += answer.refused;
    tally.deleted += answer.deleted;
    tally.records += answer.records;
    tally.grown++;
    return answer.problems;
  } finally {
    await child.kill();
    await unmount();
  }
}

/** A child to whom a write that finds no space looks done must be found out. */
async function control(kit, folder) {
  const tally = { opened: 0 };
  const given = { kib: CONTROL_DISK, index: 0, control: 'space' };
  const problems = await fillOne(kit, folder, given, tally).catch(({ message }) => [message]);
  if (problems.length === 0) throw new Error('writes that find no space do no harm: this test is blind');
}

/** A process that may not make a file longer than so: EFBIG instead of ENOSPC; the limit can be raised. */
async function fileLimit(kit) {
  const directory = join(kit.place, 'limited');
  mkdirSync(directory);
  const child = kit.start('prlimit', `--fsize=${FILE_LIMIT}:unlimited`);
  try {
    const order = { ...orderFor(kit, join(directory, 'store'), 1), role: 'fill' };
    child.order(order);
    const full = JSON.parse(await child.said('full'));
    if (!full.opened) throw new Error('the store needs a longer file than it is allowed');
    const from = child.lines.length;
    child.order('empty');
    await child.said('again', from);
    await run('prlimit', '--pid', `${child.pid}`, '--fsize=unlimited:unlimited');
    const { problems, refused, deleted } = await child.ask('grown');
    if (problems.length > 0) throw new Error(problems.join('\n  '));
    return { refused, deleted, problems: 0 };
  } finally {
    await child.kill();
    rmSync(directory, { recursive: true });
  }
}

export async function fullDisks(kit, attempt) {
  const every = SIZES[kit.size];
  const folder = join(kit.place, 'disk');
  const disks = DISKS.filter((_, index) => index % every === kit.seed % every);
  await attempt(ROW, async () => {
    const tally = { opened: 0, grown: 0, killed: 0, refused: 0, deleted: 0, records: 0 };
    const found = [];
    for (const [index, kib] of disks.entries()) {
      try {
        const problems = await fillOne(kit, folder, { kib, index }, tally);
        found.push(...problems.map((text) => `${kib} KiB: ${text}`));
      } catch (error) {
        found.push(`${kib} KiB: ${error.message}`);
      }
    }
    if (found.length > 0) throw new Error(`${found.length} problems\n  ${found.slice(0, 20).join('\n  ')}`);
    await control(kit, folder);
    if (tally.deleted < disks.length) throw new Error(`too little happened: ${JSON.stringify(tally)}`);
    return {
      'disk sizes': disks.length,
      'too small for a store': disks.length - tally.opened,
      'killed when full and opened again': tally.killed,
      'grown under the open store': tally.grown,
      refusals: tally.refused,
      'deletes when full': tally.deleted,
      lost: 0,
      'other errors': 0,
      'controls caught': '1 of 1',
    };
  });
  await attempt('full disk (file size limit)', () => fileLimit(kit));
}
