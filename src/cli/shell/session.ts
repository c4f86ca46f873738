/**
 * What a shell remembers between its lines: the open store, the transaction, and the savepoints by name.
 */

import type { EngineCore } from '../../engine/engine-core.ts';
import type { IsolationLevel, Savepoint, StorageEngine, Transaction } from '../../index.ts';
import { UsageError } from '../exit.ts';
import type { Shell } from '../view.ts';

export class Session implements Shell {
  readonly engine: StorageEngine;
  readonly engineCore: EngineCore;
  #transaction: Transaction | undefined;
  /** In the order in which they were taken. */
  #savepoints = new Map<string, Savepoint>();
  isEnding = false;
  /** Whether a line runs, and whether it is to end. */
  #isRunning = false;
  #isInterrupted = false;

  constructor(engine: StorageEngine, engineCore: EngineCore) {
    this.engine = engine;
    this.engineCore = engineCore;
  }

  get transaction(): Transaction | undefined {
    return this.#transaction;
  }

  get isInterrupted(): boolean {
    return this.#isInterrupted;
  }

  /** Runs a line that may be interrupted. */
  async run(line: () => Promise<number>): Promise<number> {
    this.#isInterrupted = false;
    this.#isRunning = true;
    try {
      return await line();
    } finally {
      this.#isRunning = false;
    }
  }

  /** Ends the line that runs, as soon as it looks; answers whether there is one. */
  interrupt(): boolean {
    this.#isInterrupted = this.#isRunning;
    return this.#isRunning;
  }

  begin(isolation: IsolationLevel): void {
    if (this.#transaction) throw new UsageError('a transaction is under way; commit or abort it first');
    this.#transaction = this.engine.beginTransaction({ isolation });
  }

  /** Commits; whatever comes of it, the transaction is over. Answers the commit's number. */
  async commit(): Promise<number> {
    const transaction = this.#current();
    this.#end();
    const { sequence } = await transaction.commit();
    return sequence;
  }

  abort(): void {
    this.#current().abort();
    this.#end();
  }

  savepoint(name: string): void {
    const savepoint = this.#current().savepoint();
    this.#savepoints.delete(name);
    this.#savepoints.set(name, savepoint);
  }

  /** Goes back to a savepoint, by default the last; answers its name. */
  rollback(name: string | undefined): string {
    const transaction = this.#current();
    const names = [...this.#savepoints.keys()];
    const wanted = name ?? names.at(-1);
    const savepoint = wanted === undefined ? undefined : this.#savepoints.get(wanted);
    if (wanted === undefined || savepoint === undefined) {
      const known = names.length === 0 ? 'none was taken' : `there are ${names.join(', ')}`;
      throw new UsageError(`there is no savepoint${name === undefined ? '' : ` ${name}`}; ${known}`);
    }
    transaction.rollbackTo(savepoint);
    // Newer ones are gone.
    for (const newer of names.slice(names.indexOf(wanted) + 1)) this.#savepoints.delete(newer);
    return wanted;
  }

  #current(): Transaction {
    if (this.#transaction) return this.#transaction;
    throw new UsageError('no transaction is under way; begin one');
  }

  #end(): void {
    this.#transaction = undefined;
    this.#savepoints = new Map();
  }
}
