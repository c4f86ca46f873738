/**
 * A named tree inside a transaction.
 */
import type { TransactionContext } from './context.ts';
import { TransactionSpace } from './transaction-space.ts';

/** A named tree as a transaction sees it: it reads the transaction's snapshot and own writes, and commits with it. */
export class TransactionTree extends TransactionSpace {
  /** What the tree is called. */
  readonly name: string;

  /** Trees of a transaction come from its `tree()`. @internal */
  constructor(context: TransactionContext, name: string) {
    super(context, name);
    this.name = name;
  }
}
