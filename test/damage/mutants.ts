/*
 * Mutants: a store's files with one to four fields changed, found by what they mean, to numbers that break arithmetic,
 * to numbers that mean something elsewhere in the same store, or by exchanging and copying whole pieces. Half of them
 * are sealed again, so that every checksum holds and only the checks of structure are left.
 */
import { SECTOR_SIZE } from '../../assembly/layout.ts';
import type { Files } from '../support/files.ts';
import { Random } from '../wal/random.ts';
import { type Field, type Forge, STRUCTURES, viewOf } from './forge.ts';

/** Numbers that break arithmetic. */
const EVIL = [
  0, 1, 2, 3, 7, 8, 15, 63, 64, 127, 128, 255, 256, 511, 512, 0x7fff, 0x8000, 0xffff, 0x10000, 0xffffff, 0x1000000,
  0x3fffffff, 0x40000000, 0x40000001, 0x7fffffff, 0x80000000, 0xc0000000, 0xfffffe00, 0xfffffff0, 0xffffffff,
]; // biome-ignore format: a table

export interface Mutant {
  readonly files: Files;
  readonly isSealed: boolean;
  /** What was changed, for people. */
  readonly changes: readonly string[];
}

/** The mutant of a number: the same number and forge give the same bytes. */
export function mutantOf(forge: Forge, number: number): Mutant {
  const random = new Random(number);
  const files: Files = new Map([...forge.files].map(([name, bytes]) => [name, bytes.slice()]));
  const isSealed = random.chance(0.5);
  const changes: string[] = [];
  const changed: Field[] = [];
  const count = 1 + random.below(random.chance(0.3) ? 4 : 2);
  while (changes.length < count) {
    const what = random.below(12);
    if (what === 0) changes.push(movePiece(files, random, changed));
    else if (what === 1) changes.push(exchange(forge, files, random, changed));
    else {
      const change = changeField(forge, files, random, changed);
      if (change !== undefined) changes.push(change);
    }
  }
  if (isSealed) forge.reseal(files, changed);
  if (random.chance(0.02)) changes.push(cut(files, random));
  return { files, isSealed, changes };
}

function pickField(forge: Forge, random: Random): [structure: string, field: Field] | undefined {
  const structure = STRUCTURES[random.below(STRUCTURES.length)]!;
  const fields = forge.fields.get(structure)!;
  return fields.length === 0 ? undefined : [structure, fields[random.below(fields.length)]!];
}

function changeField(forge: Forge, files: Files, random: Random, changed: Field[]): string | undefined {
  const [structure, field] = pickField(forge, random) ?? [];
  if (!structure || !field) return undefined;
  const view = viewOf(files.get(field.file)!);
  const old = field.size === 8 ? Number(view.getBigUint64(field.at, true)) : read(view, field);
  const value = numberFor(forge, random, old);
  write(view, field, value);
  changed.push(field);
  // Both slots say the same, or the older one may win.
  if (structure === 'superblock' && random.chance(0.9)) write(view, { ...field, at: field.at ^ 4096 }, value);
  return `${structure} in ${field.file} at ${field.at}: ${old} -> ${value}`;
}

function numberFor(forge: Forge, random: Random, old: number): number {
  const what = random.below(8);
  if (what === 0) return random.below(2 ** 32);
  if (what === 1) return random.below(300);
  if (what === 2) return old + random.below(5) - 2;
  if (what === 3) return old ^ (1 << random.below(32));
  if (what < 6) return forge.numbers[random.below(forge.numbers.length)]!;
  const evil = EVIL[random.below(EVIL.length)]!;
  return random.chance(0.2) ? evil * 2 ** random.below(21) : evil;
}

/** Copies or exchanges some sectors of a file. */
function movePiece(files: Files, random: Random, changed: Field[]): string {
  const all = [...files].filter(([, bytes]) => bytes.length >= SECTOR_SIZE);
  const [file, bytes] = all[random.below(all.length)]!;
  const sectors = bytes.length / SECTOR_SIZE;
  const [from, to] = [random.below(sectors) * SECTOR_SIZE, random.below(sectors) * SECTOR_SIZE];
  const length = (1 + random.below(9)) * SECTOR_SIZE;
  bytes.copyWithin(to, from, from + length);
  changed.push({ file, at: to, size: 1 });
  return `${length} bytes of ${file} from ${from} to ${to}`;
}

/** Gives two fields of one structure each other's value. */
function exchange(forge: Forge, files: Files, random: Random, changed: Field[]): string {
  const [structure, one] = pickField(forge, random) ?? [];
  if (!structure || !one) return 'nothing';
  const others = forge.fields.get(structure as (typeof STRUCTURES)[number])!;
  const same = others.filter(({ size }) => size === one.size);
  const other = same[random.below(same.length)]!;
  const [a, b] = [files.get(one.file)!, files.get(other.file)!];
  const held = a.slice(one.at, one.at + one.size);
  a.set(b.subarray(other.at, other.at + other.size), one.at);
  b.set(held, other.at);
  changed.push(one, other);
  return `${structure}: ${one.file} ${one.at} and ${other.file} ${other.at} exchanged`;
}

function cut(files: Files, random: Random): string {
  const [file, bytes] = [...files][random.below(files.size)]!;
  const length = random.below(bytes.length + 1);
  files.set(file, bytes.slice(0, length));
  return `${file} cut at ${length}`;
}

function read(view: DataView, { at, size }: Field): number {
  if (size === 1) return view.getUint8(at);
  return size === 2 ? view.getUint16(at, true) : view.getUint32(at, true);
}

/** Writes as much of a number as the field takes. */
export function write(view: DataView, { at, size }: Field, value: number): void {
  if (size === 1) view.setUint8(at, value & 255);
  else if (size === 2) view.setUint16(at, value & 0xffff, true);
  else if (size === 4) view.setUint32(at, value >>> 0, true);
  else view.setBigUint64(at, BigInt.asUintN(64, BigInt(Math.trunc(value))), true);
}
