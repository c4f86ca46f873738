/**
 * What a power cut leaves of a simulated disk: the device, and of everything on its way to it any part. Each *unit* of
 * choice is there or not, whatever became of the others: a sector of a write, a change of a file's length, a change of
 * the directory. Which ones, a function says, or chance in one of the shapes below, since a coin for each sector alone
 * would hardly ever leave a write whole.
 */
import type { SimulatedRandom } from './simulated-clock.ts';
import type { DiskFile, EntryChange, FileChange } from './simulated-disk.ts';
import { apply, SECTOR_SIZE, SimulatedDisk } from './simulated-disk.ts';

/** A part of what was not on stable storage when the power went: it is there afterwards, or it is not. */
export interface CrashUnit {
  /** A sector of a file's content, a change of a file's length, or one of the directory's entries. */
  readonly kind: 'content' | 'length' | 'entry';
  /** Name of the file. */
  readonly file: string;
  /** Number of the change it belongs to, in the order in which they were made. */
  readonly order: number;
  /** Byte position of a sector; the new length of a file; otherwise 0. */
  readonly position: number;
}

/** Whether a unit is on the disk after the power cut. A number is that many bytes of a sector, its first ones. */
export type CrashChoice = (unit: CrashUnit) => boolean | number;

interface Unit extends CrashUnit {
  readonly holder: DiskFile | undefined;
  readonly change: FileChange | EntryChange;
}

/** Units that there are at one moment: all that `leave` needs. */
export class PowerCut {
  readonly units: readonly Unit[];
  readonly #disk: SimulatedDisk;
  /** Where the units of each change begin, and behind the last one. */
  readonly #begins: number[] = [];

  constructor(disk: SimulatedDisk) {
    this.#disk = disk;
    const units: Unit[] = [];
    const begins = this.#begins;
    for (const change of disk.entries) {
      begins.push(units.length);
      const { name, order } = change;
      units.push({ kind: 'entry', file: name, order, position: 0, holder: undefined, change });
    }
    for (const holder of filesOf(disk)) {
      const file = holder.name;
      for (const change of holder.pending) {
        const { kind, order } = change;
        begins.push(units.length);
        if (kind === 'length') units.push({ kind, file, order, position: change.size, holder, change });
        else {
          for (let at = 0; at < change.bytes.length; at += SECTOR_SIZE) {
            units.push({ kind, file, order, position: change.position + at, holder, change });
          }
        }
      }
    }
    begins.push(units.length);
    this.units = units;
  }

  /** The disk after the cut; `landed`: for each unit, how many bytes of it are there (not 0: all, unless a sector). */
  leave(landed: ArrayLike<number>): SimulatedDisk {
    const { units } = this;
    const left = new SimulatedDisk();
    left.capacity = this.#disk.capacity;
    const names = new Map(this.#disk.deviceNames);
    let at = 0;
    for (; units[at]?.kind === 'entry'; at++) {
      if (landed[at] !== 0) apply(units[at]!.change as EntryChange, names);
    }
    const states = new Map<DiskFile, ReturnType<typeof stateOf>>();
    while (at < units.length) {
      const begin = at;
      const { holder } = units[at]!;
      while (units[at]?.holder === holder) at++;
      states.set(holder!, stateOf(holder!, units, landed, begin, at));
    }
    for (const [name, file] of names) left.add(name, states.get(file)?.copy() ?? file.device.copy());
    return left;
  }

  /** What landed according to a function. */
  chosen(choice: CrashChoice): Uint16Array {
    const landed = new Uint16Array(this.units.length);
    for (const [index, unit] of this.units.entries()) {
      const answer = choice(unit);
      landed[index] = typeof answer === 'number' ? Math.min(answer, SECTOR_SIZE) : answer ? SECTOR_SIZE : 0;
    }
    return landed;
  }

  /** What landed by chance; `tearsLogs`: an append to a log can end at any byte. */
  drawn(random: SimulatedRandom, tearsLogs: boolean): Uint16Array {
    const { units } = this;
    const begins = this.#begins;
    const landed = new Uint16Array(units.length);
    const changes = begins.length - 1;
    if (changes === 0) return landed;
    const one = random.below(changes);
    const shape = random.below(10);
    const fate = [random.oneIn(2), random.oneIn(2)];
    const moment = units[begins[one]!]!.order;
    for (let change = 0; change < changes; change++) {
      const from = begins[change]!;
      const to = begins[change + 1]!;
      const { order, file } = units[from]!;
      const isTheOne = change === one;
      let whole = false;
      if (shape < 2)
        whole = order < moment; // in their order, up to one
      else if (shape < 4)
        whole = !isTheOne; // all but one
      else if (shape === 4)
        whole = false; // one alone
      else if (shape === 5)
        whole = fate[file === 'data' ? 1 : 0]!; // file by file
      else if (shape < 8) whole = random.oneIn(2);
      else whole = !random.oneIn(8);
      const torn = isTheOne || (shape > 6 && random.oneIn(4));
      if (torn) this.#tear(landed, from, to, random, tearsLogs);
      else if (whole) landed.fill(SECTOR_SIZE, from, to);
    }
    return landed;
  }

  /** A change is there whole, not at all, up to some place, or in some of its sectors. */
  #tear(landed: Uint16Array, from: number, to: number, random: SimulatedRandom, tearsLogs: boolean): void {
    const way = random.below(4);
    const { kind, file } = this.units[from]!;
    if (way === 0 || (kind !== 'content' && way < 3)) landed.fill(SECTOR_SIZE, from, to);
    else if (way === 1) {
      const end = from + random.below(to - from);
      landed.fill(SECTOR_SIZE, from, end);
      if (tearsLogs && file.startsWith('log-')) landed[end] = random.below(SECTOR_SIZE);
    } else if (way === 2) {
      for (let at = from; at < to; at++) if (random.oneIn(2)) landed[at] = SECTOR_SIZE;
    }
  }
}

/** Files that any name leads to, or may after the cut. */
function filesOf(disk: SimulatedDisk): Set<DiskFile> {
  const files = new Set([...disk.deviceNames.values(), ...disk.names.values()]);
  for (const { file } of disk.entries) if (file) files.add(file);
  return files;
}

function stateOf(
  file: DiskFile,
  units: readonly Unit[],
  landed: ArrayLike<number>,
  begin: number,
  end: number,
) {
  const state = file.device.copy();
  let lastLength = -1;
  for (let at = begin; at < end; at++) {
    if (landed[at] !== 0 && units[at]!.kind === 'length') lastLength = at;
  }
  for (let at = begin; at < end; at++) {
    const change = units[at]!.change as FileChange;
    if (change.kind === 'length') {
      if (at <= lastLength) state.resize(change.size);
    } else if (landed[at] !== 0) {
      const from = units[at]!.position - change.position;
      state.put(change.bytes.subarray(from, from + landed[at]!), units[at]!.position);
    }
  }
  return state;
}
