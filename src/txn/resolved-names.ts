/**
 * What names of trees stand for in a commit that is being admitted: the tree there is, or the one that commits on their
 * way make, or one that this commit makes. A tree that is not there, and that this commit only deletes from, needs no id:
 * there is nothing to delete, so nothing of it is logged.
 *
 * Ids of trees to be made are given out from here to the queueing of the commit, in one turn (admission.ts, invariant 2);
 * a commit that is refused in between leaves nothing behind.
 */
import type { Catalog } from '../store/catalog.ts';
import { NO_TREE } from '../store/tree-name.ts';

export class ResolvedNames {
  /** Trees that the commit makes, unless one before it has. */
  readonly makes = new Map<string, number>();
  readonly #catalog: Catalog;

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  /** The id of a tree in this commit, `NO_TREE` if it needs none. Throws CORRUPTION, IO_ERROR, OUT_OF_SPACE. */
  resolve(name: string, holdsPut: () => boolean): number {
    const known = this.#catalog.idOf(name);
    if ((known !== undefined && this.#catalog.isMade(known)) || !holdsPut()) return known ?? NO_TREE;
    const id = known ?? this.#catalog.freeId(this.makes.size);
    this.makes.set(name, id);
    return id;
  }
}
