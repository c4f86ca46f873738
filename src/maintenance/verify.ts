/**
 * Verification: the one integrity walk, for users, the command line and every test's teardown. It changes nothing.
 *
 *   1. Every page of every tree as one snapshot sees it (tree-walk.ts), read from its block even when it is in a
 *      frame; then every page that the snapshot sees must have been reached. The snapshot ends here.
 *   2. The durable checkpoint: superblock slots and directory chunks (checkpoint-audit.ts).
 *   3. The log, as far as it is durable and recovery would read it (wal/audit.ts), and that every file is there.
 *   4. The allocation of the newest state: page numbers, old versions, sectors of the data file (allocation-audit.ts).
 *
 * It goes in slices and lets other work run in between; whatever that changes, a sound store gives no finding. A read
 * that the device refuses is a finding like damage; only a store that is closed or failed meanwhile ends the walk.
 */

import { AegisError } from '../base/errors.ts';
import { DATA_FILE } from '../store/blocks.ts';
import type { Pager } from '../store/pager.ts';
import type { Log } from '../wal/log.ts';
import { countExtents, countNumbers, countVersions } from './allocation-audit.ts';
import type { BlocksSeen } from './block-audit.ts';
import { auditBlocks } from './block-audit.ts';
import type { Durable } from './checkpoint-audit.ts';
import { auditChunks, auditSlots } from './checkpoint-audit.ts';
import type { VerifyProblem } from './findings.ts';
import { Findings } from './findings.ts';
import { TreeWalk } from './tree-walk.ts';

export type { VerifyProblem } from './findings.ts';

/** What a verification found. */
export interface VerifyReport {
  /** Whether nothing was found. */
  readonly ok: boolean;
  /** What was found: the first thousand. */
  readonly problems: readonly VerifyProblem[];
  /** How many problems there are, listed or not. */
  readonly problemCount: number;
  /** Pages checked, tree and overflow pages alike. */
  readonly pages: number;
  /** Keys and values checked. */
  readonly records: number;
}

/** What a verification works with. */
export interface VerifyParts {
  readonly pager: Pager;
  /** Roots of all trees in the snapshot. Throws CORRUPTION when they cannot be told, and IO_ERROR. */
  readonly roots: () => readonly number[];
  /** Those that are known all the same: the walk will find what is wrong. */
  readonly fallback: readonly number[];
  /** Users' blocks in the snapshot. Throws as `roots`. */
  readonly blocks?: () => BlocksSeen;
  /** Snapshot to walk. */
  readonly epoch: number;
  /** Ends the snapshot. */
  readonly release: () => void;
  readonly durable: Durable;
  readonly readOnly: boolean;
  /** The log that is being written, if there is one. */
  readonly log?: Log | undefined;
  /** Reads the log of a store open for reading again. */
  readonly rescan?: (() => Promise<void>) | undefined;
  /** Names of the files there are; default: nobody looks. */
  readonly list?: () => readonly string[] | Promise<readonly string[]>;
  /** Lets other work run. */
  readonly pause: () => Promise<void>;
  /** Pages checked in one go; default 64. */
  readonly slice?: number;
  /** Throws when the store can be read no more. */
  readonly check: () => void;
  readonly onProgress: (done: number, total: number) => void;
}

/** Some milliseconds of work. */
const SLICE_PAGES = 64;

/** Checks a whole store. */
export async function verifyStore(parts: VerifyParts): Promise<VerifyReport> {
  const { pager, durable, onProgress } = parts;
  const findings = new Findings();
  const slice = parts.slice ?? SLICE_PAGES;
  const walk = new TreeWalk(pager, parts.epoch, findings, slice);
  const total = pager.pageCount;
  await checkNames(parts, findings);
  parts.check();
  for (const _ of stepsOf(parts, walk, slice, findings)) {
    onProgress(Math.min(walk.pages, total), total);
    await parts.pause();
    parts.check();
  }
  if (parts.rescan) await findings.during(parts.rescan);
  parts.check();
  countNumbers(pager, findings);
  countVersions(pager, findings);
  countExtents(pager, durable.unsettled ?? [], findings);
  onProgress(total, total);
  const { problems, count } = findings;
  return {
    ok: count === 0,
    problems,
    problemCount: count,
    pages: walk.pages,
    records: walk.records,
  };
}

function rootsOf({ roots, fallback }: VerifyParts, findings: Findings): readonly number[] {
  try {
    return roots();
  } catch (error) {
    findings.addError(error);
    return fallback;
  }
}

/** Where users' blocks are; undefined when that cannot be told, which the walk has found. */
function blocksOf({ blocks }: VerifyParts): BlocksSeen | undefined {
  try {
    return blocks?.();
  } catch (error) {
    if (error instanceof AegisError && (error.code === 'CORRUPTION' || error.code === 'IO_ERROR')) return;
    throw error;
  }
}

/** Everything that goes in slices. */
function* stepsOf(parts: VerifyParts, walk: TreeWalk, slice: number, findings: Findings): Generator<void> {
  const { pager, durable, readOnly, log } = parts;
  for (const root of rootsOf(parts, findings)) yield* walk.walk(root);
  yield* walk.unreached();
  const blocks = blocksOf(parts);
  if (blocks) yield* auditBlocks(blocks, findings);
  parts.release();
  auditSlots(pager, durable, readOnly, findings);
  // A chunk takes as long as several pages: it has some hundred entries.
  yield* auditChunks(pager, durable, Math.max(1, slice >> 3), findings);
  if (!log) return;
  try {
    yield* log.audit(
      () => durable.superblock,
      ({ message, ...where }) => findings.add(message, where),
    );
  } catch (error) {
    findings.addError(error);
  }
}

/** A file that was removed is still read by whoever has it open: what it holds is lost when the store is closed. */
async function checkNames({ list, log }: VerifyParts, findings: Findings): Promise<void> {
  if (!list) return;
  // Take the log's files before and after listing: one made or removed meanwhile need not be in the list.
  const before = log?.files ?? [];
  await findings.during(async () => {
    const names = await list();
    const after = log?.files ?? [];
    for (const file of [DATA_FILE, ...before.filter((name) => after.includes(name))]) {
      if (!names.includes(file)) findings.add(`the file ${file} is not there any more`, { file });
    }
  });
}
