/**
 * A named tree of an open store: a key space of its own beside the default one.
 */

import type { EngineCore } from './engine-core.ts';
import { KeySpace } from './key-space.ts';

/**
 * A named, separately ordered key space. It is a name, not a thing that is open: while there is no such tree it reads as
 * empty, the first put makes it, and after `dropTree` it is empty again.
 */
export class Tree extends KeySpace {
  /** What the tree is called. */
  readonly name: string;

  /** Trees come from `tree()` of an engine. @internal */
  constructor(engineCore: EngineCore, name: string) {
    super(engineCore, name);
    this.name = name;
  }
}
