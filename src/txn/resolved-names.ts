/**
 * Resolves names of trees for a commit that is being admitted: to the existing tree, to one that queued commits will
 * make, or to one that this commit makes. A tree that does not exist and that this commit only deletes from needs no
 * id: there is nothing to delete, so nothing is logged.
 *
 * Ids of new trees are assigned between here and the queueing of the commit, in one turn (admission.ts, invariant 2).
 * A commit that is refused in between leaves nothing behind.
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
