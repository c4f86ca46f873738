/*
 * Power cuts as a real file system lives through them. A child writes without pause to a file system on a loop device
 * whose image lies on a reflink XFS. `cp --reflink` copies the image at one moment: what the device would hold if the
 * power failed then. The copy is mounted, so the kernel replays its journal, and the store in it is opened and
 * checked. Everything acknowledged before the copy began must be there.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { mount, pause, run } from './system.mjs';

export const ROW = 'real-kernel power cuts';
export const needs = {
  programs: ['unshare', 'mount', 'umount', 'mkfs.xfs', 'mkfs.ext4', 'mkfs.btrfs', 'cp', 'truncate'],
  files: ['/dev/loop-control'],
};

/** Cuts of each file system, by what is cut. */
export const SIZES = {
  quick: { synced: 12, relaxed: 4, creation: 4, control: 2 },
  long: { synced: 300, relaxed: 60, creation: 60, control: 6 },
};
/** Cuts of one writer, and of one store, before a new one is begun. */
const CUTS_PER_WRITER = 6;
const CUTS_PER_STORE = 36;
const IMAGE_SIZE = '512M';
const SNAPSHOTS_SIZE = '6G'; // sparse

const SYSTEMS = [
  { name: 'ext4', make: ['mkfs.ext4', '-q', '-F'], options: 'loop' },
  { name: 'XFS', make: ['mkfs.xfs', '-q', '-f'], options: 'loop,nouuid' },
  { name: 'Btrfs', make: ['mkfs.btrfs', '-q', '-f'], options: 'loop' },
];

/** One file system that is written to and cut. */
class Ground {
  constructor(kit, folder, system) {
    this.kit = kit;
    this.system = system;
    this.image = join(folder, 'image');
    this.copy = join(folder, 'copy');
    // Not inside the XFS: its mount would then hold these, they their loop devices, and those the XFS again, so
    // that a kernel that takes all of them away at once would take none.
    this.live = join(kit.place, 'live');
    this.cut = join(kit.place, 'cut');
    this.tally = { cuts: 0, recovery: 0, acknowledged: 0, spared: 0 };
    this.stores = 0;
  }

  async open() {
    const [command, ...flags] = this.system.make;
    await run('truncate', '-s', IMAGE_SIZE, this.image);
    await run(command, ...flags, this.image);
    this.unmount = await mount(this.live, '-o', this.system.options, this.image);
    this.checker = this.kit.start();
  }

  async close() {
    await this.checker?.kill();
    await this.unmount?.();
    rmSync(this.image, { force: true });
  }

  /** Copies the device as it is now and runs `check` with the copy mounted. */
  async snapshot(check) {
    await run('cp', '--reflink=always', this.image, this.copy);
    try {
      const unmount = await mount(this.cut, '-o', this.system.options, this.copy);
      try {
        await check(this.cut);
      } finally {
        await unmount();
      }
    } finally {
      rmSync(this.copy, { force: true });
    }
  }

  newStore() {
    this.stores++;
    const name = `store-${this.stores}`;
    rmSync(join(this.live, `store-${this.stores - 1}`), { recursive: true, force: true });
    return { name, known: 0, durable: 0, isThere: false };
  }
}

function configFor(random, syncOnCommit, pageSize) {
  const frames = [16, 24, 64, 1024][random.below(4)];
  return {
    syncOnCommit,
    pageSize,
    bufferPoolSize: frames * pageSize,
    checkpointWalSize: '512KB',
    walFlushInterval: 5,
  };
}

/** Cuts a writer's store again and again; answers the problems of each cut that had some. */
async function cutWriter(ground, cuts, { syncOnCommit = true, control }) {
  const { kit, tally } = ground;
  const { random } = kit;
  const found = [];
  let store;
  let config;
  let writer;
  const opening = { total: 20, count: 1 };
  const endWriter = async () => {
    await writer?.kill();
    const odd = writer?.lines.filter((line) => /^(stray|refused|end)/.test(line)) ?? [];
    found.push(...odd.map((line) => `the writer said: ${line}`));
    writer = undefined;
  };
  try {
    for (let cut = 0; cut < cuts; cut++) {
      if (cut % CUTS_PER_STORE === 0) {
        await endWriter();
        store = ground.newStore();
        config = configFor(random, syncOnCommit, 4096 << random.below(3));
      }
      // Each writer is cut while it opens what the one before it, killed, has left; then while it writes.
      const isEarly = cut % CUTS_PER_WRITER === 0 && cut % CUTS_PER_STORE !== 0 && control === undefined;
      if (cut % CUTS_PER_WRITER === 0) {
        await endWriter();
        writer = kit.start();
        await writer.said('ready');
        const { durable, known } = store;
        const at = performance.now();
        const current = store;
        writer.onLine = (line) => {
          if (line.startsWith('opened')) {
            opening.total += performance.now() - at;
            opening.count++;
          }
          hear(line, current, tally);
        };
        // Killing loses nothing: the writer after it must find what was answered, durable or not.
        writer.order({
          role: 'write',
          directory: join(ground.live, store.name),
          config: { ...config, ...configFor(random, syncOnCommit, config.pageSize) },
          package: kit.package,
          seed: random.below(2 ** 31),
          blocking: random.chance(0.25),
          control,
          least: Math.max(durable, known),
        });
      }
      if (isEarly) {
        await pause(random.next() * 1.5 * (opening.total / opening.count));
        tally.recovery++;
      } else {
        const { problems } = JSON.parse(await writer.said('opened'));
        if (problems.length > 0) throw new Error(`the next writer found: ${problems.join('; ')}`);
        store.isThere = true;
        await pause(20 + random.below(180));
      }
      const least = store.durable;
      const { isThere } = store;
      tally.cuts++;
      await ground.snapshot(async (folder) => {
        const { problems, last } = await ground.checker.ask({
          role: 'check',
          directory: join(folder, store.name),
          config: { ...config, createIfMissing: !isThere },
          package: kit.package,
          least,
        });
        tally.spared += Math.max(0, last - least);
        if (problems.length > 0) found.push(`cut ${cut + 1}: ${problems.slice(0, 3).join('; ')}`);
      });
    }
    await writer?.said('opened');
  } finally {
    await endWriter();
  }
  return found;
}

function hear(line, store, tally) {
  const [word, text] = line.split(' ');
  if (word !== 'done' && word !== 'relaxed') return;
  store.known = Math.max(store.known, Number(text));
  if (word === 'done') store.durable = Math.max(store.durable, Number(text));
  tally.acknowledged++;
}

/** Cuts a child that makes one store after the other. */
async function cutCreation(ground, cuts) {
  const { kit, tally } = ground;
  const { random } = kit;
  const found = [];
  const directory = join(ground.live, 'many');
  mkdirSync(directory);
  const maker = kit.start();
  /** Stores that may be there, with the last commit acknowledged in each; undefined until one is. */
  let stores = new Map();
  maker.onLine = (line) => {
    const [word, number, ticket] = line.split(' ');
    if (word === 'making') stores.set(number, undefined);
    if (word === 'made') stores.set(number, 0);
    if (word === 'kept') {
      stores.set(number, Number(ticket));
      tally.acknowledged++;
    }
  };
  try {
    const config = { pageSize: 4096, bufferPoolSize: '256KB', checkpointWalSize: '512KB' };
    maker.order({ role: 'create', directory, config, package: kit.package, seed: 1, least: 0 });
    for (let cut = 0; cut < cuts; cut++) {
      await maker.said('kept');
      await pause(random.below(150));
      const before = new Map(stores);
      tally.cuts++;
      await ground.snapshot(async (folder) => {
        for (const [number, least] of [...before].slice(-4)) {
          const { problems } = await ground.checker.ask({
            role: 'check',
            directory: join(folder, 'many', `store-${number}`),
            config: { ...config, createIfMissing: least === undefined },
            package: kit.package,
            least: least ?? 0,
          });
          if (problems.length > 0)
            found.push(`cut ${cut + 1}, store ${number}: ${problems.slice(0, 3).join('; ')}`);
        }
      });
      const heard = maker.lines.length;
      maker.order('sweep');
      await maker.said('swept', heard);
      maker.lines.length = 0;
      stores = new Map();
    }
  } finally {
    found.push(...(await maker.kill()));
  }
  return found;
}

/** Runs all cuts of all file systems; `attempt` counts one test. */
export async function cuts(kit, attempt) {
  const sizes = SIZES[kit.size];
  const folder = join(kit.place, 'cuts');
  const outer = join(kit.place, 'snapshots');
  await run('truncate', '-s', SNAPSHOTS_SIZE, outer);
  await run('mkfs.xfs', '-q', '-f', '-m', 'reflink=1', outer);
  const unmount = await mount(folder, '-o', 'loop', outer);
  try {
    for (const system of SYSTEMS) {
      await attempt(`${ROW} (${system.name})`, () =>
        cutSystem(kit, join(folder, system.name), system, sizes),
      );
    }
  } finally {
    await unmount();
    rmSync(outer, { force: true });
  }
}

async function cutSystem(kit, folder, system, sizes) {
  mkdirSync(folder);
  const ground = new Ground(kit, folder, system);
  try {
    await ground.open();
    const found = [];
    for (const [what, steps] of [
      ['syncOnCommit', () => cutWriter(ground, sizes.synced, {})],
      ['syncOnCommit: false', () => cutWriter(ground, sizes.relaxed, { syncOnCommit: false })],
      ['creation', () => cutCreation(ground, sizes.creation)],
    ]) {
      found.push(...(await steps()).map((problem) => `${what}, ${problem}`));
    }
    if (found.length > 0) throw new Error(found.join('\n  '));
    const { cuts: made, recovery, acknowledged, spared } = ground.tally;
    const control = await cutWriter(ground, sizes.control, { control: 'none' });
    if (!control.some((problem) => problem.includes('lost:'))) {
      throw new Error(
        `without syncs nothing was lost either: ${control.join('\n  ') || 'no problem at all'}`,
      );
    }
    return {
      cuts: made,
      'of them during recovery': recovery,
      'commits acknowledged': acknowledged,
      'found beyond the last acknowledged': spared,
      lost: 0,
      'half there or out of order': 0,
      unreadable: 0,
      'control cuts that lose': `${control.length} of ${sizes.control}`,
    };
  } finally {
    await ground.close();
  }
}
