/*
 * Syncs that really fail. A disk in memory (nbdkit) that refuses writes while a trigger file is there is exported as a
 * file (nbdfuse), and an ext4 on it through a loop device. The child makes the trigger just before a chosen sync, so
 * the kernel's own write-back fails, with all that Linux makes of it: the error is told once, the lost pages count as
 * clean, and the page cache goes on showing them.
 *
 * Looked at after the failure: what the child was told; what the device holds at that moment; what the next opener
 * finds, with the lying cache or without; and what the device holds right after that opening.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Child, mount, pause, run } from './system.mjs';

export const ROW = 'real fsync failure';
export const needs = {
  programs: ['unshare', 'mount', 'umount', 'findmnt', 'mkfs.ext4', 'nbdkit', 'nbdfuse', 'nbdcopy'],
  files: ['/dev/loop-control', '/dev/fuse'],
};

export const SIZES = { quick: { runs: 6, controls: 1 }, long: { runs: 108, controls: 6 } };

/** A control that lost nothing was unlucky; so many of them are not. */
const CONTROLS_MAX = 5;

/** Which sync fails: of the log, in a checkpoint (its data, either superblock slot), of a folder, in recovery. */
const TARGETS = ['log', 'checkpoint data', 'first slot', 'second slot', 'log file', 'recovery'];
/** How the store is opened again: over the same page cache; after a clean unmount; after one while writes still fail. */
const WAYS = ['same cache', 'mounted again', 'mounted again, nothing written back'];
const DISK_SIZE = '96M';
/** Commits that a control acknowledges on the failing disk before it is looked at. */
const CONTROL_COMMITS = 40;

/** The failing disk: where its file system is mounted, and what the device really holds. */
class Disk {
  constructor(folder) {
    this.folder = folder;
    this.trigger = join(folder, 'trigger');
    this.socket = join(folder, 'socket');
    this.live = join(folder, 'live');
    this.cut = join(folder, 'cut');
  }

  async open() {
    const fuse = join(this.folder, 'fuse');
    mkdirSync(fuse, { recursive: true });
    mkdirSync(this.live);
    const filter = ['error-pwrite-rate=100%', `error-pwrite-file=${this.trigger}`];
    const socket = ['--unix', this.socket];
    this.server = new Child(
      'nbdkit',
      '--foreground',
      ...socket,
      '--filter=error',
      'memory',
      DISK_SIZE,
      ...filter,
    );
    await untilThere(this.socket);
    this.device = join(fuse, 'disk');
    this.exporter = new Child('nbdfuse', this.device, ...socket);
    this.isExported = true;
    await untilThere(this.device);
    await run('mkfs.ext4', '-q', '-F', this.device);
    await this.mount();
  }

  async mount() {
    this.unmount = await mount(this.live, '-o', 'loop', this.device);
    // A loop device takes a write that was cut short for a whole one. So no request is larger than a page, which FUSE
    // passes on as one: it is on the disk, or fails.
    const [loop] = /loop\d+/.exec(await run('findmnt', '-n', '-o', 'SOURCE', this.live));
    writeFileSync(`/sys/block/${loop}/queue/max_sectors_kb`, '4');
  }

  failing(isFailing) {
    if (isFailing) writeFileSync(this.trigger, '');
    else rmSync(this.trigger, { force: true });
  }

  /** Runs `check` with a copy of what the device holds: what a power cut now would leave. */
  async snapshot(check) {
    const copy = join(this.folder, 'copy');
    await run('truncate', '-s', DISK_SIZE, copy);
    await run('nbdcopy', `nbd+unix:///?socket=${this.socket}`, copy);
    const unmount = await mount(this.cut, '-o', 'loop', copy);
    try {
      return await check(this.cut);
    } finally {
      await unmount();
      rmSync(copy);
    }
  }

  async close() {
    this.failing(false);
    await this.unmount?.();
    if (this.isExported) await run('umount', join(this.folder, 'fuse'));
    await this.exporter?.kill();
    await this.server?.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function untilThere(file) {
  for (let tries = 1; !existsSync(file); tries++) {
    if (tries === 500) throw new Error(`${file} does not appear`);
    await pause(10);
  }
}

function faultFor(target, trigger, random, round) {
  const fault = { trigger, afterOpen: true };
  if (target === 'log') return { ...fault, file: 'log-', nth: 1 + random.below(40) };
  if (target === 'log file') return { ...fault, file: 'store', nth: 1 };
  if (target === 'recovery') return { ...fault, file: '', nth: 1 + (round % 5), afterOpen: false };
  const step = TARGETS.indexOf(target);
  return { ...fault, file: 'data', nth: 3 * random.below(4) + step };
}

/** One failing disk, and the children on it. */
class Failure {
  constructor(kit, disk, random) {
    this.kit = kit;
    this.disk = disk;
    this.children = [];
    this.found = [];
    const pageSize = 4096 << random.below(3);
    const bufferPoolSize = [16, 64, 1024][random.below(3)] * pageSize;
    this.config = { pageSize, bufferPoolSize, checkpointWalSize: '512KB', walFlushInterval: 5 };
    this.durable = 0;
  }

  start() {
    const child = this.kit.start();
    this.children.push(child);
    return child;
  }

  write(given) {
    const child = this.start();
    child.onLine = (line) => {
      const [word, ticket] = line.split(' ');
      if (word === 'done') this.durable = Math.max(this.durable, Number(ticket));
    };
    const directory = join(this.disk.live, 'store');
    const { package: path } = this.kit;
    const seed = this.kit.random.below(2 ** 31);
    child.order({
      role: 'write',
      directory,
      config: this.config,
      package: path,
      seed,
      least: this.durable,
      ...given,
    });
    return child;
  }

  checkOrder(folder, bounds) {
    const config = { ...this.config, createIfMissing: false };
    return { role: 'check', directory: join(folder, 'store'), config, package: this.kit.package, ...bounds };
  }

  note(when, problems) {
    this.found.push(...problems.slice(0, 4).map((problem) => `${when}: ${problem}`));
  }

  /** Checks what a power cut now would leave; answers its last commit. */
  async checkDevice(when, bounds) {
    return await this.disk.snapshot(async (folder) => {
      const checker = this.start();
      const { problems, last } = await checker.ask(this.checkOrder(folder, bounds));
      this.note(when, problems);
      await checker.kill();
      return last;
    });
  }

  /**
   * Opens the store again, and cuts the power right after. Answers the last commit it showed; undefined when the file
   * system let nobody in.
   */
  async reopen(way, bounds) {
    const checker = this.start();
    const from = checker.lines.length;
    checker.order({ ...this.checkOrder(this.disk.live, bounds), hold: true });
    const answer = await Promise.race([checker.said('opened', from), checker.said('end', from)]);
    const { problems, last } = JSON.parse(answer);
    // A journal that could not be written ends the file system, until it is mounted again.
    const isFinal =
      way !== 'same cache' || !problems.some((problem) => /unreadable: .*(EROFS|EIO)/.test(problem));
    if (isFinal) {
      this.note(way, problems);
      await this.checkDevice(`${way}, cut again`, { least: last, most: last });
      checker.order('write on');
      await checker.said('written', from);
      // More than 700 KiB: they lie in files that have grown, and in places used before.
      await this.checkDevice(`${way}, cut after writing on`, { least: last, most: last, others: WRITTEN_ON });
      checker.order('close');
      const { problems: after } = JSON.parse(await checker.said('end', from));
      this.note(`${way}, writing on`, after);
    }
    await checker.kill();
    return isFinal ? last : undefined;
  }

  async mountAgain(isClean) {
    if (isClean) this.disk.failing(false);
    await this.disk.unmount();
    this.disk.failing(false);
    writeFileSync('/proc/sys/vm/drop_caches', '3');
    await this.disk.mount();
  }

  async end() {
    for (const child of this.children) this.note('said', await child.kill());
  }
}

/** Keys that a checker which is let go on writes beside the ledger. */
const WRITTEN_ON = 122;
const AFTER = ['STORE_FAILED', 'COMMIT_UNKNOWN'];

/** What is wrong with what the child was told. */
function problemsOf(told) {
  const problems = [...(told.problems ?? [])];
  const evident = ({ errno, operation }) => typeof errno === 'string' && typeof operation === 'string';
  // A file system that gave up refuses writes; as long as no sync has failed, that is an ordinary refusal.
  const ordinary = ({ code, operation, late }) => code === 'IO_ERROR' && operation !== 'sync' && !late;
  if (!told.failed) problems.push('no sync failed');
  if (told.opening) {
    if (!['IO_ERROR', 'STORE_FAILED'].includes(told.opening.code) || !evident(told.opening)) {
      problems.push(`opening was refused with ${JSON.stringify(told.opening)}`);
    }
    return problems;
  }
  if (told.late > 0) problems.push(`${told.late} commits were acknowledged after the failure`);
  const known = (refusal, codes) => evident(refusal) && (codes.includes(refusal.code) || ordinary(refusal));
  for (const refusal of told.refusals) {
    if (!known(refusal, AFTER)) problems.push(`a commit got ${JSON.stringify(refusal)}`);
  }
  for (const refusal of told.later) {
    if (!known(refusal, ['STORE_FAILED'])) problems.push(`later: ${JSON.stringify(refusal)}`);
  }
  if (told.closing && !known(told.closing, AFTER)) {
    problems.push(`close: ${JSON.stringify(told.closing)}, after ${JSON.stringify(told.failed)}`);
  }
  return problems;
}

async function failOnce(kit, disk, index, tally) {
  const { random } = kit;
  const target = TARGETS[index % TARGETS.length];
  const way = WAYS[Math.floor(index / TARGETS.length + index) % WAYS.length];
  const blocking = random.chance(0.35);
  const failure = new Failure(kit, disk, random);
  try {
    if (target === 'recovery') {
      const before = failure.write({ blocking });
      await before.said('opened');
      await pause(50 + random.below(200));
      await before.kill();
    }
    const writer = failure.write({
      blocking,
      fault: faultFor(target, disk.trigger, random, Math.floor(index / TARGETS.length)),
    });
    const told = JSON.parse(await writer.said('end'));
    await writer.kill();
    failure.note('told', problemsOf(told));
    tally.unknown += (told.refusals ?? []).filter(({ code }) => code === 'COMMIT_UNKNOWN').length;
    tally.later += (told.refusals?.length ?? 0) + (told.later?.length ?? 0);
    tally.opening += told.opening ? 1 : 0;
    const bounds = { least: failure.durable };
    // What was refused for good must never come back.
    if (!told.opening) bounds.most = Math.max(told.answered, told.unknown);
    const onDevice = await failure.checkDevice('the device', bounds);
    disk.failing(way === WAYS[2]);
    const shown = way === 'same cache' ? await failure.reopen(way, bounds) : undefined;
    if (shown !== undefined) {
      tally.cached++;
      if (shown > onDevice) tally.lied++;
    } else {
      await failure.mountAgain(way !== WAYS[2]);
      await failure.reopen(way === 'same cache' ? WAYS[1] : way, bounds);
    }
    tally.durable += failure.durable;
  } finally {
    await failure.end();
  }
  return failure.found.map((problem) => `${target}, ${blocking ? 'blocking, ' : ''}${problem}`);
}

/** A child that asks a failed sync again and believes the second answer. */
async function control(kit, disk) {
  const failure = new Failure(kit, disk, kit.random);
  try {
    const fault = faultFor('log', disk.trigger, kit.random);
    const writer = failure.write({ blocking: false, fault, control: 'again' });
    await untilThere(disk.trigger);
    const enough = failure.durable + CONTROL_COMMITS;
    for (let tries = 0; tries < 300 && failure.durable < enough && !writer.hasEnded; tries++) await pause(10);
    await writer.kill();
    await failure.mountAgain(true);
    await failure.checkDevice('control', { least: failure.durable });
    return failure.found;
  } finally {
    await failure.end();
  }
}

async function withDisk(kit, number, use) {
  const disk = new Disk(join(kit.place, `failing-${number}`));
  try {
    await disk.open();
    return await use(disk);
  } finally {
    await disk.close();
  }
}

export async function fsyncFailures(kit, attempt) {
  const { runs, controls } = SIZES[kit.size];
  await attempt(ROW, async () => {
    const tally = { unknown: 0, later: 0, opening: 0, cached: 0, lied: 0, durable: 0 };
    const found = [];
    for (let index = 0; index < runs; index++) {
      try {
        const problems = await withDisk(kit, index, (disk) => failOnce(kit, disk, index, tally));
        found.push(...problems.map((problem) => `run ${index + 1}: ${problem}`));
      } catch (error) {
        found.push(`run ${index + 1}: ${error.message}`);
      }
    }
    if (found.length > 0) throw new Error(`${found.length} problems\n  ${found.slice(0, 30).join('\n  ')}`);
    let caught = 0;
    let controlled = 0;
    for (; controlled < controls || (caught === 0 && controlled < CONTROLS_MAX); controlled++) {
      const problems = await withDisk(kit, `control-${controlled}`, (disk) => control(kit, disk));
      if (problems.some((problem) => problem.includes('lost:'))) caught++;
    }
    if (caught === 0) throw new Error('syncs that are asked again lose nothing: this test is blind');
    if (tally.unknown === 0 || tally.opening === 0)
      throw new Error(`too little happened: ${JSON.stringify(tally)}`);
    return {
      runs,
      'acknowledged before': tally.durable,
      'acknowledged after the failure': 0,
      COMMIT_UNKNOWN: tally.unknown,
      'refused later': tally.later,
      'openings refused': tally.opening,
      'opened again over the same page cache': tally.cached,
      'of them saw commits that the disk did not have': tally.lied,
      lost: 0,
      'controls caught': `${caught} of ${controlled}`,
    };
  });
}
