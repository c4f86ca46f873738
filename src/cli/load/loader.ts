/**
 * The way of rows into a store: in batches, each one commit, the next one read while the one before is written.
 *
 * 1. A batch is in whole or not at all, so `position` names rows that are all in, and none behind it is.
 * 2. What the store would refuse is refused here, where its line is known.
 */
import type { StorageEngine } from '../../index.ts';
import { CommandFailure } from '../exit.ts';
import { TREE_NAME_MAX } from '../options.ts';
import { type BadRow, type GoodRow, linesOf, nameOfLines, type Row } from './row.ts';

export interface LoadOptions {
  /** Tree of all records, whatever the rows say. */
  readonly tree: string | undefined;
  /** Records in a batch. */
  readonly batch: number;
  /** Leave out rows that are malformed, instead of stopping at the first. */
  readonly skipBad: boolean;
  /** Hears of each row that is left out. */
  readonly leftOut: (row: BadRow) => void;
}

/** A batch ends when it has this many bytes, however few records: the log takes it in one piece. */
const BATCH_SIZE = 1024 * 1024;
/** Of the contract: a key has at most an eighth of a page, a value less than 1 GiB. */
const KEY_SHARE = 8;
const VALUE_SIZE_MAX = 2 ** 30 - 1;

type Operation = {
  type: 'put';
  key: string | Uint8Array;
  value: string | Uint8Array;
  tree: string | undefined;
};

export class Loader {
  readonly #engine: StorageEngine;
  readonly #options: LoadOptions;
  #batch: Operation[] = [];
  #size = 0;
  /** Rows that are in once the batch is. */
  #reached: number;
  /** The batch before, while it is written; resolves to its error. */
  #writing: Promise<unknown> = Promise.resolve();
  /** Records written, as far as is known. */
  records = 0;
  /** Rows left out because they are malformed. */
  bad = 0;
  /** The lines they take: more than rows where a quote was not closed. */
  badLines = 0;
  /** Rows that are in, or left out. */
  position: number;

  constructor(engine: StorageEngine, skip: number, options: LoadOptions) {
    this.#engine = engine;
    this.#options = options;
    this.position = skip;
    this.#reached = skip;
  }

  /** Takes a row; waits when a batch is full. @throws CommandFailure for a malformed one, once the batch before is in */
  async take(row: Row): Promise<void> {
    const bad = 'problem' in row ? row : this.#refusal(row);
    if (bad !== undefined) {
      if (!this.#options.skipBad) {
        await this.#written();
        throw new CommandFailure(`${nameOfLines(bad)}: ${bad.problem}`, 'INVALID_ARGUMENT');
      }
      ++this.bad;
      this.badLines += linesOf(bad);
      this.#options.leftOut(bad);
    } else {
      const { key, value, tree } = row as GoodRow;
      this.#batch.push({ type: 'put', key, value, tree: this.#options.tree ?? tree });
      this.#size += sizeOf(key) + sizeOf(value);
    }
    this.#reached = row.position;
    if (this.#batch.length >= this.#options.batch || this.#size >= BATCH_SIZE) await this.#write();
  }

  /** Writes what is left. */
  async finish(): Promise<void> {
    await this.#write();
    await this.#written();
  }

  async #write(): Promise<void> {
    const [batch, reached] = [this.#batch, this.#reached];
    this.#batch = [];
    this.#size = 0;
    await this.#written();
    this.#writing = this.#engine.batch(batch).then(
      () => {
        this.records += batch.length;
        this.position = reached;
      },
      (error: unknown) => error ?? new Error('refused without a reason'),
    );
  }

  async #written(): Promise<void> {
    const error = await this.#writing;
    if (error !== undefined) throw error;
  }

  /** What is wrong with a record that can be read, but not stored. */
  #refusal(row: GoodRow): BadRow | undefined {
    const nameSize = row.tree === undefined ? 1 : sizeOf(row.tree);
    if (nameSize < 1 || nameSize > TREE_NAME_MAX) {
      return {
        ...row,
        problem: `the name of its tree has ${nameSize} bytes; allowed are 1 to ${TREE_NAME_MAX}`,
      };
    }
    const keySizeMax = this.#engine.config.pageSize / KEY_SHARE;
    const keySize = sizeOf(row.key);
    if (keySize > keySizeMax)
      return { ...row, problem: `its key has ${keySize} bytes; the most is ${keySizeMax}` };
    const valueSize = sizeOf(row.value);
    if (valueSize <= VALUE_SIZE_MAX) return undefined;
    return { ...row, problem: `its value has ${valueSize} bytes; the most is ${VALUE_SIZE_MAX}` };
  }
}

function sizeOf(bytes: string | Uint8Array): number {
  return typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length;
}
