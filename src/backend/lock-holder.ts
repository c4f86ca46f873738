/**
 * The file `lock` of a local store: who holds it, for the error message of whoever is refused. The lock itself is on
 * the file `data` and held by the system, so deleting, copying or damaging this file admits nobody.
 *
 * 1. The file is a row of slots of one fixed size, each blank or one JSON record padded with spaces and written by
 *    one call, so a reader never sees half of one. A writer uses the first slot and cuts the rest; a reader takes a
 *    slot whose owner is gone.
 * 2. A holder says who it is after it has the lock and blanks its slot before it gives the lock back. What a killed
 *    one left is known to be stale: no process has its number, or one that began at another moment.
 * 3. Nothing here ever stops a store from opening: a record that cannot be written is not written.
 * 4. A file of this name that is no row of slots is a stranger's in a folder that holds no store yet: it is listed
 *    and left alone.
 */
import { closeSync, constants, ftruncateSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import type { LockMode } from './backend.ts';
import { errnoOf, machineName, openPrivate } from './local-system.ts';

const HOLDER_FILE = 'lock';
/** On Windows the lock is on this file: one on `data` would shut out the engine itself. */
export const GUARD_FILE = 'lock-guard';
const SLOT_SIZE = 512; // bytes
const SLOTS_MAX = 64;

/** Who holds a store. */
export interface Holder {
  readonly pid: number;
  /** Name of its machine or container; empty where its runtime does not tell. */
  readonly host: string;
  /** When it took the lock, as an ISO 8601 date. */
  readonly since: string;
  /** Such as `node 20.16.0`. */
  readonly runtime: string;
  /** When its process began, in the system's own count, where the system says so. */
  readonly begun?: string | undefined;
}

/** Whether a name in the folder is one that locks leave behind. */
export function isOurs(directory: string, name: string): boolean {
  if (name === GUARD_FILE) return process.platform === 'win32';
  return name === HOLDER_FILE && readSlots(join(directory, HOLDER_FILE)) !== undefined;
}

/** Writes down that this process holds the store; the answer takes it back. */
export function announceHolder(directory: string, mode: LockMode, now: number, isFresh: boolean): () => void {
  const path = join(directory, HOLDER_FILE);
  if (isFresh && readSlots(path) === undefined) return () => undefined;
  const holder: Holder = {
    pid: process.pid,
    host: machineName(),
    since: new Date(now).toISOString(),
    runtime: runtimeName(),
    begun: beginOfProcess(process.pid),
  };
  try {
    return writeHolder(path, mode, holder);
  } catch {
    // The folder is read-only, the disk full, or a link in the file's place. The lock holds without a record.
    return () => undefined;
  }
}

/** The holder that is surely alive, else one of another machine that may be, else nobody. */
export function findHolder(directory: string): { holder: Holder; isSure: boolean } | undefined {
  let unsure: Holder | undefined;
  for (const holder of readSlots(join(directory, HOLDER_FILE)) ?? []) {
    if (holder === undefined) continue;
    if (holder.host !== machineName()) unsure ??= holder;
    else if (isAlive(holder)) return { holder, isSure: true };
  }
  return unsure && { holder: unsure, isSure: false };
}

function writeHolder(path: string, mode: LockMode, holder: Holder): () => void {
  const slot = mode === 'exclusive' ? 0 : freeSlot(path);
  const record = Buffer.from(JSON.stringify(holder).padEnd(SLOT_SIZE));
  // The machine's name is too long, or there are too many readers: this one is not recorded.
  if (record.length > SLOT_SIZE || slot === SLOTS_MAX) return () => undefined;
  const position = slot * SLOT_SIZE;
  const descriptor = openPrivate(path, constants.O_RDWR, true);
  try {
    writeSync(descriptor, record, 0, SLOT_SIZE, position);
    if (mode === 'exclusive') ftruncateSync(descriptor, SLOT_SIZE);
  } catch (cause) {
    closeSync(descriptor);
    throw cause;
  }
  return () => {
    try {
      const present = Buffer.alloc(SLOT_SIZE);
      readSync(descriptor, present, 0, SLOT_SIZE, position);
      const isMine = present.equals(record);
      if (isMine) writeSync(descriptor, Buffer.alloc(SLOT_SIZE, ' '), 0, SLOT_SIZE, position);
    } catch {
      // The record stays and names a process that no longer holds the lock; the next holder overwrites it.
    } finally {
      closeSync(descriptor);
    }
  };
}

function freeSlot(path: string): number {
  const slots = readSlots(path) ?? [];
  const free = slots.findIndex(
    (holder) => holder === undefined || (holder.host === machineName() && !isAlive(holder)),
  );
  return free === -1 ? slots.length : free;
}

/** The slots, blank ones as undefined; an absent file has none, and undefined means that the file is a stranger's. */
function readSlots(path: string): (Holder | undefined)[] | undefined {
  let bytes: Buffer | undefined;
  try {
    bytes = readSmallFile(path);
  } catch (cause) {
    return errnoOf(cause) === 'ENOENT' ? [] : undefined;
  }
  if (bytes === undefined) return undefined;
  const slots: (Holder | undefined)[] = [];
  for (let begin = 0; begin < bytes.length; begin += SLOT_SIZE) {
    const slot = bytes.toString('utf8', begin, begin + SLOT_SIZE);
    const holder = parseHolder(slot);
    if (holder === undefined && !/^[ \0]*$/.test(slot)) return undefined;
    slots.push(holder);
  }
  return slots;
}

/** A whole regular file, unless it is larger than any of ours; never waits for a pipe. */
function readSmallFile(path: string): Buffer | undefined {
  const descriptor = openPrivate(path, constants.O_RDONLY, false);
  try {
    const bytes = Buffer.alloc(SLOTS_MAX * SLOT_SIZE + 1);
    const length = readSync(descriptor, bytes, 0, bytes.length, 0);
    return length < bytes.length ? bytes.subarray(0, length) : undefined;
  } finally {
    closeSync(descriptor);
  }
}

function parseHolder(slot: string): Holder | undefined {
  try {
    const holder = JSON.parse(slot) as Holder | null;
    const whole =
      Number.isInteger(holder?.pid) && [holder?.host, holder?.since, holder?.runtime].every(isText);
    return whole && holder !== null ? holder : undefined;
  } catch {
    return undefined;
  }
}

function isText(value: unknown): boolean {
  return typeof value === 'string';
}

function isAlive({ pid, begun }: Holder): boolean {
  const found = beginOfProcess(pid);
  if (found !== undefined && begun !== undefined) return found === begun;
  try {
    return process.kill(pid, 0);
  } catch (cause) {
    // Any other error than "no such process" means that the process exists, and we may not signal it.
    return errnoOf(cause) !== 'ESRCH';
  }
}

/** Linux: clock ticks from the machine's start to the process's, which tells a number used again. */
function beginOfProcess(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field is the program's name in parentheses and may hold anything; the begin is the 22nd.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

function runtimeName(): string {
  const { deno, bun } = process.versions as { deno?: string; bun?: string };
  if (deno !== undefined) return `deno ${deno}`;
  return bun === undefined ? `node ${process.versions.node}` : `bun ${bun}`;
}
