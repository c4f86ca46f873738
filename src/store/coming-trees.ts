/**
 * Trees that queued commits will make, and their ids. The catalog knows a tree once it is made. Until then every
 * commit that puts to it makes it, and all of them must mean the same tree.
 *
 * Invariants
 *   1. A name has one id from the time the first commit that makes it is queued until that commit is applied, or
 *      refused with all behind it (a log buffer is written when nothing in the other one is unapplied).
 *   2. Meanwhile no other tree has the id: what is logged with it will be applied.
 *   3. Then the entry is forgotten. If the tree was not made the id is free again: no log record uses it.
 */

/** Trees that a commit makes: name -> id. */
export type NewTrees = ReadonlyMap<string, number>;

export class ComingTrees {
  readonly #ids = new Map<string, number>();
  /** Above the ids of all of them. */
  #end = 0;

  /** Trees that are coming: nothing else shows that they are forgotten (invariant 3). */
  get size(): number {
    return this.#ids.size;
  }

  /** The id that a tree will have; undefined: nobody makes it. */
  idOf(name: string): number | undefined {
    return this.#ids.get(name);
  }

  /** The lowest id from one on that is above those of all of them. */
  free(from: number): number {
    return Math.max(from, this.#end);
  }

  /** A commit that makes trees is queued. */
  add(trees: NewTrees): void {
    for (const [name, id] of trees) {
      this.#ids.set(name, id);
      this.#end = Math.max(this.#end, id + 1);
    }
  }

  /** A commit that makes trees has left the queue. */
  remove(trees: NewTrees): void {
    for (const name of trees.keys()) this.#ids.delete(name);
    if (this.#ids.size === 0) this.#end = 0;
  }
}
