/* Mutants of salvage: what must be listed is not, or what must not be believed is. */
import { salvaging, salvagingTarget } from './killers.ts';
import type { Mutant } from './mutant.ts';

const LEAVES = 'src/maintenance/salvage-leaves.ts';
const SALVAGE = 'src/maintenance/salvage.ts';

export const salvageMutants: readonly Mutant[] = [
  {
    name: 'salvage: a key that the log settles is still listed as lost',
    file: SALVAGE,
    edits: [['this.#lostOf(id).settle(key),', 'void [id, key],']],
    killer: salvagingTarget(/what the log says of a key/),
  },
  {
    name: 'salvage: a tree that the log makes may have been there, and nothing of it is listed',
    file: SALVAGE,
    edits: [['else if (unknown) this.#lostOf(id).add(WHOLE, unknown.problem);', '']],
    killer: salvaging(/without its catalog/),
  },
  {
    name: 'salvage: a damaged log is not said',
    file: SALVAGE,
    edits: [["if (logProblem) lost.push({ what: 'commits', ...logProblem });", '']],
    killer: salvagingTarget(/a damaged log/),
  },
  {
    name: 'salvage: leaves are found while names of trees are lost',
    file: SALVAGE,
    edits: [['if (this.#names.isEmpty) {', 'if (true) {']],
    killer: salvaging(/without its catalog/),
  },
  {
    name: 'salvage: one page is read for two references',
    file: 'src/maintenance/salvage-source.ts',
    edits: [['if (this.entered.has(page)) return', 'if (page === 0) return']],
    killer: salvaging(/that two keys refer to/),
  },
  {
    name: 'salvage: the bounds of a page are not looked at',
    file: 'src/maintenance/salvage-tree.ts',
    edits: [
      ['fits && x.inspectFences(address, from?.length ?? NO_BOUND, to?.length ?? NO_BOUND) === OK', 'fits'],
    ],
    killer: salvaging(/that cannot be are lost/),
  },
  {
    name: 'salvage: what lies below a page that lost a durable change is believed',
    file: LEAVES,
    edits: [['if (isSpoiltPage(pager, hole.page)) return false;', '']],
    killer: salvaging(/that a durable change was lost for/),
  },
  {
    name: 'salvage: leaves of two trees are told apart',
    file: LEAVES,
    edits: [
      ['return holes.every((other) => other === hole || areApart(other.range, hole.range));', 'return true;'],
    ],
    killer: salvaging(/are not told apart/),
  },
  {
    name: 'salvage: pages that cannot be read are no leaves',
    file: LEAVES,
    edits: [['lost.replace(range, all ? [] : gapsOf(own, range));', 'lost.replace(range, []);']],
    killer: salvaging(/what lies between its neighbours/),
  },
];
