/*
 * What was committed, in the order of the commits, and what of it must survive. A commit is entered before the store
 * hears of it, so its number is known to whoever cuts the power in the middle of it.
 *
 * `durable`: the last commit that a power cut may not take. `resolved`: the last one that the death of the process may
 * not take. `last`: the last one that was asked for. All commits before one of these are promised as it is.
 *
 * One list holds the records of all trees: the key of each begins with the name of its tree and a zero. A named tree
 * that is there has a record without anything after the zero, so that trees without records are told from absent ones.
 * Blocks are in it by the commits that wrote them, which their bytes begin with: their ids are the engine's to choose.
 */
import type { Block, Scan } from '../../src/index.ts';
import { Violation } from './violation.ts';

/** As `keyIn` makes it. */
export type Key = string;
export type Write = readonly [key: Key, value: Uint8Array | undefined];
/** Records in the order of their keys. */
type Records = readonly (readonly [key: Uint8Array, value: Uint8Array])[];

/** What trees are called here; the default tree has the empty name. */
export const NAMES: readonly string[] = ['events', 'notes'];

/** Stands for the tree of blocks; behind the names of all others. */
const BLOCKS = '~blocks';

const NOTHING = new Uint8Array(0);

/** The key of a record of a tree. */
export function keyIn(tree: string, key: string): Key {
  return `${tree}\0${key}`;
}

/** The tree and the key in it. */
export function placeOf(key: Key): { readonly tree: string; readonly key: string } {
  const end = key.indexOf('\0');
  return { tree: key.slice(0, end), key: key.slice(end + 1) };
}

/** The key of a tree as a whole: written without a value, it drops the tree. */
export function treeKey(tree: string): Key {
  return keyIn(tree, '');
}

/** The key of the block that a commit wrote. */
export function blockKey(commit: number): Key {
  return keyIn(BLOCKS, String(commit).padStart(8, '0'));
}

interface Space {
  scan(): Scan;
}

/** An engine. */
export interface Whole extends Space {
  tree(name: string): Space;
  trees(): string[];
  readBlock(id: number): Block | undefined;
}

type Readable = Pick<Whole, 'scan' | 'tree'>;

export class History {
  durable = 0;
  resolved = 0;
  /** Blocks that were to be written in all lives: no id is higher. */
  blocksAsked = 0;
  /** Blocks whose ids were answered, each with its commit, deleted ones too. */
  readonly blocks = new Map<number, number>();
  /** The store after each commit. */
  readonly #states: Records[] = [[]];

  get last(): number {
    return this.#states.length - 1;
  }

  /** Enters a commit; answers its number. */
  commit(writes: readonly Write[]): number {
    const records = new Map(
      this.#states.at(-1)!.map((record) => [Buffer.from(record[0]).toString(), record]),
    );
    for (const [key, value] of writes) {
      const { tree, key: rest } = placeOf(key);
      if (value === undefined && rest === '') {
        for (const other of records.keys()) if (other.startsWith(key)) records.delete(other);
      } else if (value === undefined) records.delete(key);
      else {
        records.set(key, [Buffer.from(key), value]);
        if (tree !== '' && tree !== BLOCKS) records.set(treeKey(tree), [Buffer.from(treeKey(tree)), NOTHING]);
      }
    }
    this.#states.push([...records.values()].sort(([a], [b]) => Buffer.compare(a, b)));
    return this.last;
  }

  /** Whether the newest state has a key. */
  has(key: Key): boolean {
    const bytes = Buffer.from(key);
    return this.#states.at(-1)!.some(([other]) => Buffer.compare(other, bytes) === 0);
  }

  /** The keys of the newest state. */
  get keys(): Key[] {
    return this.#states.at(-1)!.map(([key]) => Buffer.from(key).toString());
  }

  /** A crash took everything after that commit; what an open store has shown stays. */
  goOnFrom(commit: number): void {
    this.#states.length = commit + 1;
    this.durable = commit;
    this.resolved = commit;
    for (const [id, wrote] of this.blocks) if (wrote > commit) this.blocks.delete(id);
  }

  /** A block's id was answered. */
  noteBlock(id: number, commit: number): void {
    if (this.blocks.has(id)) throw new Violation(`the id ${id} was given to a second block`);
    this.blocks.set(id, commit);
  }

  /** Throws unless these are the trees and records as of a commit. */
  compare(commit: number, whole: Whole): void {
    this.#compare(commit, this.#state(commit), this.#foundIn(whole));
  }

  /** As `compare`, of a snapshot, which does not tell which trees there are. */
  compareSnapshot(commit: number, snapshot: Readable): void {
    const records = this.#state(commit).filter(([bytes]) => {
      const { tree, key } = placeOf(Buffer.from(bytes).toString());
      return tree !== BLOCKS && (key !== '' || tree === '');
    });
    this.#compare(commit, records, found(snapshot, NAMES, false));
  }

  *#foundIn(whole: Whole): Generator<readonly [Uint8Array, Uint8Array]> {
    yield* found(whole, whole.trees(), true);
    for (let id = 1; id <= this.blocksAsked; id++) {
      const data = whole.readBlock(id)?.data;
      if (data === undefined) continue;
      const commit = Buffer.from(data).readUInt32BE();
      const known = this.blocks.get(id);
      if (known !== undefined && known !== commit)
        throw new Violation(`block ${id} is that of commit ${commit}, not of ${known}`);
      yield [Buffer.from(blockKey(commit)), data];
    }
  }

  #state(commit: number): Records {
    const records = this.#states[commit];
    if (records === undefined) throw new Violation(`commit ${commit} was never asked for`);
    return records;
  }

  #compare(commit: number, records: Records, found: Iterable<readonly [Uint8Array, Uint8Array]>): void {
    let at = 0;
    for (const [key, value] of found) {
      const expected = records[at++];
      const name = inWords(key);
      if (expected === undefined || Buffer.compare(expected[0], key) !== 0) {
        throw new Violation(`${name} is there, which is not the state after commit ${commit}`);
      }
      if (Buffer.compare(expected[1], value) !== 0) {
        throw new Violation(`${name} does not have its value of commit ${commit}`);
      }
    }
    if (at < records.length) {
      throw new Violation(`${inWords(records[at]![0])} of commit ${commit} is missing`);
    }
  }
}

function inWords(key: Uint8Array): string {
  const { tree, key: rest } = placeOf(Buffer.from(key).toString());
  if (tree === '') return rest;
  return rest === '' ? `the tree ${tree}` : `${rest} of the tree ${tree}`;
}

/** The records of the default tree and of named ones. */
function* found(
  whole: Readable,
  names: readonly string[],
  withTrees: boolean,
): Generator<readonly [Uint8Array, Uint8Array]> {
  for (const name of ['', ...names]) {
    const start = Buffer.from(treeKey(name));
    if (withTrees && name !== '') yield [start, NOTHING];
    const space = name === '' ? whole : whole.tree(name);
    for (const [key, value] of space.scan()) yield [Buffer.concat([start, key]), value];
  }
}
