/**
 * The lock of a local store: held by the operating system on the file `data`, through a descriptor of its own, so
 * that it ends with its holder however that dies and nothing is ever left to remove by hand. How the system is asked
 * is `lock-ways.ts`'s business; here is who gets the lock, and what a loser is told.
 *
 * 1. A lock counts only if `data` still leads to the locked file afterwards; else somebody replaced it in between.
 * 2. Whoever is refused learns who holds the store: the winner writes that down as soon as it has the lock, so a
 *    loser of a race looks again for a moment. If nobody says a word in that time, the holder may have been leaving,
 *    and the lock is tried again; only after most of a second is the holder given up as one that keeps silent.
 */
import { closeSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { AegisError } from '../base/errors.ts';
import type { BackendHost, LockMode } from './backend.ts';
import { sleep } from './host.ts';
import { ask, identityOf, machineName, openPrivate, systemError } from './local-system.ts';
import { announceHolder, findHolder, type Holder } from './lock-holder.ts';
import type { LockAnswer } from './lock-socket.ts';
import { lockFailed, lockOpenFile } from './lock-ways.ts';

// A refused opener looks this often, for a tenth of a second, for the winner to say who it is, and then tries again.
// Nearly always the first look does. The winner of a race may have to wait long for a processor before it can say
// anything, though: a third of a second was seen, with 8 openers on 2 processors that had other work.
const HOLDER_LOOKS_MAX = 20;
const HOLDER_PAUSE = 5; // ms
const TRIES_MAX = 8;
const REPLACED_TRIES_MAX = 10;

/** A lock that is held: on which file, and how to give it back. */
interface Held {
  readonly identity: string;
  free(): void;
}

/**
 * Locks the store in a folder.
 *
 * @throws {AegisError} `LOCKED`, `NOT_FOUND` (shared, and no store there), `UNSUPPORTED`, `NOT_A_STORE`, `IO_ERROR`.
 */
export async function lockData(
  directory: string,
  mode: LockMode,
  host: BackendHost,
): Promise<{ release(): void }> {
  const data = join(directory, 'data');
  const { free } = await takeOrRefuse(directory, data, mode);
  try {
    const isFresh = currentSize(data) === 0;
    const withdraw = announceHolder(directory, mode, host.now(), isFresh);
    let released = false;
    return {
      release: () => {
        if (released) return;
        released = true;
        withdraw();
        free();
      },
    };
  } catch (cause) {
    // Whatever failed: release the lock, since nobody else would.
    free();
    throw systemError(cause, 'lock', 'data');
  }
}

async function takeOrRefuse(directory: string, data: string, mode: LockMode): Promise<Held> {
  for (let tries = 1; ; tries++) {
    const held = await takeLock(data, mode);
    if (held !== undefined) return held;
    const holder = await waitForHolder(directory);
    if (holder !== undefined || tries === TRIES_MAX) throw locked(directory, holder);
  }
}

/** Tries once; undefined when somebody else holds the lock. */
async function takeLock(data: string, mode: LockMode): Promise<Held | undefined> {
  for (let tries = 1; tries <= REPLACED_TRIES_MAX; tries++) {
    const held = await attempt(data, mode);
    if (held === undefined || currentIdentity(data) === held.identity) return held;
    held.free();
  }
  throw lockFailed('the file is replaced all the time');
}

async function attempt(path: string, mode: LockMode): Promise<Held | undefined> {
  const access = mode === 'exclusive' ? constants.O_RDWR : constants.O_RDONLY;
  const descriptor = ask('lock', 'data', () => openPrivate(path, access, mode === 'exclusive'));
  let answer: LockAnswer = 'taken';
  try {
    const identity = identityOf(descriptor);
    answer = await lockOpenFile({ path, descriptor, identity, mode });
    if (typeof answer === 'string') return undefined;
    const unlock = answer;
    return {
      identity,
      free: () => {
        unlock();
        closeSync(descriptor);
      },
    };
  } catch (cause) {
    throw systemError(cause, 'lock', 'data');
  } finally {
    if (typeof answer === 'string') closeSync(descriptor);
  }
}

/** Looks until somebody alive says that it holds the store; a holder on another machine is believed at the end. */
async function waitForHolder(directory: string): Promise<Holder | undefined> {
  for (let looks = 1; ; looks++) {
    const found = findHolder(directory);
    if (found?.isSure || looks > HOLDER_LOOKS_MAX) return found?.holder;
    await sleep(HOLDER_PAUSE);
  }
}

function locked(directory: string, holder: Holder | undefined): AegisError {
  const store = `the store in ${directory} is open`;
  if (holder === undefined) {
    return new AegisError('LOCKED', `${store} elsewhere; its holder did not say who it is`, { file: 'data' });
  }
  const { pid, host, runtime, since } = holder;
  const on = host === '' ? '' : ` on ${host}`;
  const isThis = pid === process.pid && host === machineName();
  const hint = isThis ? '; that is this very process, or a thread of it' : '';
  const message = `${store} in process ${pid}${on} (${runtime}, since ${since})${hint}`;
  return new AegisError('LOCKED', message, { file: 'data', pid });
}

function currentIdentity(path: string): string | undefined {
  try {
    return identityOf(path);
  } catch {
    return undefined;
  }
}

function currentSize(path: string): number | undefined {
  try {
    return statSync(path).size;
  } catch {
    return undefined;
  }
}
