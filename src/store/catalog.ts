/**
 * The catalog: the trees besides the default one, and where their roots are. It is a tree itself, made with the first
 * named tree, with a record for each tree: name -> id and root page. Its latest state is also kept in memory; what a
 * snapshot sees is looked up in the tree.
 *
 * The log refers to trees by ids, which are never reused. A put to a name that has no tree makes the tree. The name has
 * an id as long as such a commit is queued (coming-trees.ts): every such commit says so in the log first (RECORD_TREE),
 * and the first one that is applied makes the tree.
 *
 * A dropped tree loses its name at once. Its pages are freed later, piece by piece; until then the catalog lists its root
 * under the bytes 0xFF 0x00 and its id, so that the work is found again after a crash.
 *
 * Invariants
 *   1. Names, ids and roots correspond one to one; ids are 2 or more and below `nextTree`.
 *   2. Memory and tree agree between two operations, unless the tree could not be read when the store was
 *      opened: then every call that needs it says so, and the default tree goes on.
 *   3. Only what is applied changes the catalog: the id of a tree that a queued commit will make is in memory only.
 *   4. A change of several records and pages stands or falls as one: what can fail comes first (`#ready`).
 */
import { NAME_SIZE_MAX, OK } from '../../assembly/layout.ts';
import { AegisError, invariant } from '../base/errors.ts';
import { LATEST } from '../core/wasm.ts';
import { besideDamage, isDamage, readAgain } from './beside-damage.ts';
import { BlockIds } from './block-id.ts';
import { ComingTrees } from './coming-trees.ts';
import type { StuckOverflow } from './overflow-pages.ts';
import { compareKeys, EVERYTHING } from './range.ts';
import { RangeReader } from './range-reader.ts';
import { BLOCKS_NAME, isUserName, MAIN_NAME, MAIN_TREE, nameBytes, nameOf } from './tree-name.ts';
import type { Trees } from './trees.ts';

/** A tree in its latest state. */
export interface TreeEntry {
  readonly name: string;
  readonly id: number;
  readonly root: number;
}

/** What the catalog was when a snapshot was taken. */
export interface CatalogView {
  readonly epoch: number;
  /** Root of the catalog; 0: there was none. */
  readonly root: number;
  readonly changes: number;
}

/** What the superblock says of trees. */
export interface CatalogState {
  readonly catalogRoot: number;
  readonly nextTree: number;
  readonly nextBlock: number;
}

/** A tree whose pages are being freed. */
export interface DroppedTree {
  readonly id: number;
  readonly root: number;
}

/** A record of the catalog; `name` undefined: a dropped tree. */
interface CatalogRecord extends DroppedTree {
  readonly name: string | undefined;
}

const DROPPED = [0xff, 0x00] as const;
const VALUE_SIZE = 8;
const ID_MAX = 0xfffffffe;

/** Frames that a change of two records needs: the ways to both, and each page with the version before. */
const FRAMES_WANTED = 12;

export class Catalog {
  /** Ids of users' blocks, which live in a tree of the engine's own. */
  readonly blockIds: BlockIds;
  /** Trees that commits on their way make. */
  readonly coming = new ComingTrees();
  readonly #trees: Trees;
  readonly #main: TreeEntry;
  #root: number;
  #nextTree: number;
  #changes = 0;
  readonly #byName = new Map<string, TreeEntry>();
  readonly #rootById = new Map<number, number>();
  readonly #dropped = new Map<number, number>();
  #damage: AegisError | undefined;

  constructor(trees: Trees, mainRoot: number, { catalogRoot, nextTree, nextBlock }: CatalogState) {
    this.#trees = trees;
    this.#main = { name: MAIN_NAME, id: MAIN_TREE, root: mainRoot };
    this.#root = catalogRoot;
    this.#nextTree = Math.max(nextTree, MAIN_TREE + 1);
    this.#rootById.set(MAIN_TREE, mainRoot);
    this.blockIds = new BlockIds(nextBlock);
  }

  /** Reads the catalog of a store just opened. Damage is kept for those who need it, if a second read finds it too. */
  load(): void {
    try {
      for (const { name, id, root } of readAgain(() => this.#records(this.view(LATEST)))) {
        if (name === undefined) this.#dropped.set(id, root);
        else this.#add({ name, id, root });
      }
      this.#damage = undefined;
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#damage = error;
    }
  }

  /** Why the catalog cannot be read, if it cannot. */
  get damage(): AegisError | undefined {
    return this.#damage;
  }

  /** A durable change of the catalog is lost: nothing that needs it is answered any more. */
  spoil(damage: AegisError): void {
    this.#damage ??= damage;
  }

  // --- the latest state -----------------------------------------------------------------------------------------

  /** What a checkpoint taken now says of trees. */
  get state(): CatalogState {
    return { catalogRoot: this.#root, nextTree: this.#nextTree, nextBlock: this.blockIds.next };
  }

  /** Users' trees there are. */
  get size(): number {
    return [...this.#byName.keys()].filter(isUserName).length;
  }

  /** Names of users' trees, in the order of their bytes. */
  names(): string[] {
    this.#check();
    return [...this.#byName.keys()]
      .filter(isUserName)
      .map((name) => ({ name, bytes: nameBytes(name) }))
      .sort((a, b) => compareKeys(a.bytes, b.bytes))
      .map(({ name }) => name);
  }

  /** The tree with a name, if there is one. Throws CORRUPTION, IO_ERROR when the catalog could not be read. */
  find(name: string): TreeEntry | undefined {
    if (name === MAIN_NAME) return this.#main;
    this.#check();
    return this.#byName.get(name);
  }

  /** The id of the tree with a name, also of one that is coming; undefined: there is neither. Throws as `find`. */
  idOf(name: string): number | undefined {
    return this.find(name)?.id ?? this.coming.idOf(name);
  }

  /** An id that no tree has had, none that is coming either, nor the ones before it. Throws OUT_OF_SPACE. */
  freeId(before = 0): number {
    const id = this.coming.free(this.#nextTree) + before;
    if (id > ID_MAX) throw new AegisError('OUT_OF_SPACE', 'the store has used all its tree ids');
    return id;
  }

  /** The id of the tree of blocks; undefined: there is none yet. */
  get blocksId(): number | undefined {
    return this.#byName.get(BLOCKS_NAME)?.id;
  }

  /** Whether the tree with an id has been made, and not dropped. */
  isMade(id: number): boolean {
    return this.#rootById.has(id);
  }

  /** Root of the tree with an id; undefined: there is none. Throws as `find`. */
  rootOf(id: number): number | undefined {
    const root = this.#rootById.get(id);
    if (root === undefined) this.#check();
    return root;
  }

  /** An id that the log names: it is not given out again. */
  markIdUsed(id: number): void {
    this.#nextTree = Math.max(this.#nextTree, id + 1);
  }

  #check(): void {
    if (this.#damage) throw this.#damage;
  }

  // --- changing -------------------------------------------------------------------------------------------------

  /** Makes a tree, as the log says; one that is there already stays. */
  create(bytes: Uint8Array, id: number): void {
    this.#check();
    const name = nameOf(bytes);
    if (name !== undefined && this.#byName.get(name)?.id === id) return;
    if (name === undefined || this.#byName.has(name) || id <= MAIN_TREE || id > ID_MAX || this.#isUsed(id)) {
      throw new AegisError('CORRUPTION', `the log makes a tree ${id} that cannot be`);
    }
    const { pager } = this.#trees;
    if (this.#root === 0) this.#root = pager.createTree(false);
    const root = this.#createRoot(bytes, id);
    this.#add({ name, id, root });
    this.markIdUsed(id);
    ++this.#changes;
  }

  /** Makes an empty tree and a record of it. */
  #createRoot(key: Uint8Array, id: number): number {
    const { pager } = this.#trees;
    this.#ready(key);
    const root = pager.createTree(false);
    try {
      this.#trees.put(this.#root, key, encodeValue(id, root));
    } catch (error) {
      pager.run(() => pager.core.x.treeEnd(root));
      throw error;
    }
    return root;
  }

  #isUsed(id: number): boolean {
    return this.#rootById.has(id) || this.#dropped.has(id);
  }

  /** Drops a tree, as the log says; no such tree, nothing to do. Its pages are still there. */
  drop(bytes: Uint8Array, id: number): void {
    this.#check();
    const name = nameOf(bytes);
    const entry = name === undefined ? undefined : this.#byName.get(name);
    if (entry?.id !== id) return;
    this.touch(bytes, id);
    this.#delete(bytes);
    this.#trees.put(this.#root, droppedKey(id), encodeValue(id, entry.root));
    this.#byName.delete(entry.name);
    this.#rootById.delete(id);
    this.#dropped.set(id, entry.root);
    ++this.#changes;
  }

  /** Reads in what a change of a name will change, so that damage refuses it before it is logged. */
  touch(bytes: Uint8Array, id: number): void {
    if (this.#root !== 0) this.#ready(bytes, droppedKey(id));
  }

  /** Makes room for a change of records and reads in what it needs: but for a neighbour to merge with, it reads no more. */
  #ready(...keys: readonly Uint8Array[]): void {
    this.#trees.pager.freeFrames(FRAMES_WANTED);
    for (const key of keys) this.#trees.has(this.#root, LATEST, this.#trees.setKey(key));
  }

  // --- dropped trees --------------------------------------------------------------------------------------------

  /** Dropped trees that still have pages. */
  get dropped(): DroppedTree[] {
    return [...this.#dropped].map(([id, root]) => ({ id, root }));
  }

  /**
   * Keeps overflow chains that could not be freed, each as a dropped tree of its own, to be freed when they can be read,
   * after an opening too. Answers the ids. @throws AegisError `OUT_OF_SPACE`; what is left stays stuck
   */
  keepStuck(): number[] {
    const { overflow } = this.#trees;
    const ids: number[] = [];
    for (let chain = overflow.stuck[0]; chain; chain = overflow.stuck[0]) {
      try {
        ids.push(this.#keep(chain));
      } catch (error) {
        if (!isDamage(error)) throw error;
        break; // the catalog cannot be read either: as long as it cannot, `verify` reports the pages
      }
      overflow.stuck.shift();
    }
    return ids;
  }

  #keep({ first, rest }: StuckOverflow): number {
    this.#check();
    const { pager } = this.#trees;
    const id = this.freeId();
    this.markIdUsed(id);
    const key = droppedKey(id);
    if (this.#root === 0) this.#root = pager.createTree(false);
    const root = this.#createRoot(key, id);
    this.#dropped.set(id, root);
    pager.run(() => pager.core.x.treePutDropped(root, this.#trees.setKey(key), first, rest));
    return id;
  }

  /** A dropped tree that is empty by now is forgotten, with its last page. */
  forget({ id, root }: DroppedTree): void {
    const { pager } = this.#trees;
    const key = droppedKey(id);
    this.#ready(key);
    this.#trees.has(root, LATEST, this.#trees.setKey(key));
    this.#delete(key);
    try {
      const status = pager.run(() => pager.core.x.treeEnd(root));
      invariant(status === OK, 'a tree is empty before it ends');
    } catch (error) {
      this.#trees.put(this.#root, key, encodeValue(id, root));
      throw error;
    }
    this.#dropped.delete(id);
  }

  // --- older states ---------------------------------------------------------------------------------------------

  /** The catalog as it is now, for a snapshot of an epoch just taken. */
  view(epoch: number): CatalogView {
    return { epoch, root: this.#root, changes: this.#changes };
  }

  /** The tree with a name as a snapshot sees it. Throws as `find`. */
  findAt(name: string, { epoch, root, changes }: CatalogView): TreeEntry | undefined {
    if (name === MAIN_NAME || changes === this.#changes) return this.find(name);
    this.#check();
    if (root === 0) return undefined;
    const value = this.#trees.get(root, epoch, this.#trees.setKey(nameBytes(name)));
    return value instanceof Uint8Array ? { name, ...decodeValue(value) } : undefined;
  }

  /** The roots of all trees that a snapshot sees, the catalog's and those of dropped trees included. Throws CORRUPTION. */
  rootsAt(view: CatalogView): number[] {
    return [...this.ownRoots(view), ...this.#records(view).map(({ root }) => root)];
  }

  /** The roots of all trees of the latest state, likewise. What cannot be read is left out. */
  latestRoots(): number[] {
    const roots = [...this.#byName.values()].map(({ root }) => root);
    return [...this.ownRoots(this.view(LATEST)), ...roots, ...this.#dropped.values()];
  }

  /** The roots that are known without reading the catalog. */
  ownRoots({ root }: CatalogView): number[] {
    return root === 0 ? [this.#main.root] : [this.#main.root, root];
  }

  /** Every record of the catalog that a snapshot sees, checked. */
  #records({ epoch, root: catalogRoot }: CatalogView): CatalogRecord[] {
    const records: CatalogRecord[] = [];
    const reader = new RangeReader(this.#trees, catalogRoot, epoch, EVERYTHING);
    const used = new Set([this.#main.root, catalogRoot]);
    const ids = new Set<number>();
    while (reader.advance(Number.POSITIVE_INFINITY, false)) {
      const { id, root } = decodeValue(reader.value());
      const key = reader.key();
      const isDropped = compareKeys(key, droppedKey(id)) === 0;
      const name = isDropped ? undefined : nameOf(key);
      const fits = id > MAIN_TREE && id < this.#nextTree && root > 0 && root < this.#trees.pager.nextPage;
      if (!fits || (name === undefined && !isDropped) || used.has(root) || ids.has(id)) {
        throw new AegisError('CORRUPTION', `the catalog names a tree ${id} that cannot be`, {
          page: catalogRoot,
        });
      }
      used.add(root);
      ids.add(id);
      records.push({ name, id, root });
    }
    return records;
  }

  #delete(key: Uint8Array): void {
    besideDamage(this.#trees.pager.core, () => this.#trees.delete(this.#root, key));
  }

  #add(entry: TreeEntry): void {
    this.#byName.set(entry.name, entry);
    this.#rootById.set(entry.id, entry.root);
  }
}

function droppedKey(id: number): Uint8Array {
  const key = new Uint8Array(6);
  key.set(DROPPED);
  new DataView(key.buffer).setUint32(2, id);
  return key;
}

function encodeValue(id: number, root: number): Uint8Array {
  const value = new Uint8Array(VALUE_SIZE);
  const view = new DataView(value.buffer);
  view.setUint32(0, id, true);
  view.setUint32(4, root, true);
  return value;
}

function decodeValue(value: Uint8Array): DroppedTree {
  const entry = entryOf(value);
  if (!entry) throw new AegisError('CORRUPTION', 'the catalog has a record of the wrong size');
  return entry;
}

/** What a record of the catalog says; undefined: it has the wrong size. */
export function entryOf(value: Uint8Array): DroppedTree | undefined {
  if (value.length !== VALUE_SIZE) return undefined;
  const view = new DataView(value.buffer, value.byteOffset, VALUE_SIZE);
  return { id: view.getUint32(0, true), root: view.getUint32(4, true) };
}

/** Bytes of a tree's record in the catalog, name included, at the most. */
export const CATALOG_RECORD_MAX = NAME_SIZE_MAX + VALUE_SIZE;
