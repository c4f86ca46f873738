/**
 * The lock for Linux where no program `flock` can be run: sockets with abstract names, which only one process can
 * bind and which vanish with it. The names carry device and inode of `data`, so links and renamed folders meet.
 *
 * 1. A writer binds one fixed name, a reader a name of its own; each then looks through the list of all names and
 *    gives way to whoever it must not meet. Both sides bind before they look, so at least one sees the other.
 * 2. Whoever holds a `flock` looks at that list too, and whoever holds a socket looks for a `flock`, so that two
 *    processes with different means exclude each other as well.
 * 3. Weaker than the file's own lock: the names belong to one network namespace, so two containers over one folder
 *    do not meet here. The fence in the log turns that into an error of the older writer.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import type { LockMode } from './backend.ts';
import { errnoOf } from './local-system.ts';

/** What a way to lock is given. */
export interface LockRequest {
  readonly path: string;
  readonly descriptor: number;
  readonly identity: string;
  readonly mode: LockMode;
}

/** How to free the lock, besides closing the descriptor; or that somebody else has it; or that there is no such way here. */
export type LockAnswer = (() => void) | 'taken' | 'absent';

const WRITER = 'writer';

/** Takes the lock by a name; `absent` where the list of names cannot be read. */
export async function lockBySocket(request: LockRequest): Promise<LockAnswer> {
  if (boundNames() === undefined) return 'absent';
  const own = prefixOf(request) + (request.mode === 'exclusive' ? WRITER : `reader-${randomUUID()}`);
  const server = await bind(own);
  if (server === undefined) return 'taken';
  if (!isExcludedBySocket(request, own) && !isExcludedByFlock(request)) return () => server.close();
  server.close();
  return 'taken';
}

/** Whether a name is bound, other than one's own, that excludes such a lock. */
export function isExcludedBySocket(request: LockRequest, own?: string): boolean {
  const prefix = prefixOf(request);
  const others = (boundNames() ?? []).filter((name) => name.startsWith(prefix) && name !== own);
  return request.mode === 'exclusive' ? others.length > 0 : others.includes(prefix + WRITER);
}

function prefixOf({ identity }: LockRequest): string {
  return `aegis-storage/${identity}/`;
}

/** All abstract names of this network namespace; undefined where the system does not show them. */
function boundNames(): string[] | undefined {
  try {
    const lines = readFileSync('/proc/net/unix', 'latin1').split('\n');
    // Older versions of Node fill a name up with zeros, which the list shows as `@`.
    return lines.flatMap((line) => / @(aegis-storage\/[^@]*)@*$/.exec(line)?.[1] ?? []);
  } catch {
    return undefined;
  }
}

/** Binds a name for as long as this process lives and the server is open; undefined when it is bound already. */
function bind(name: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((connection) => connection.destroy());
    server.once('error', (cause) => {
      if (errnoOf(cause) === 'EADDRINUSE') resolve(undefined);
      else reject(cause);
    });
    // Exclusive: in a cluster the name must be this worker's, not its primary's.
    server.listen({ path: `\0${name}`, exclusive: true }, () => {
      server.unref();
      resolve(server);
    });
  });
}

/** Whether the system's list of locks shows a `flock` on the file that excludes such a lock. */
function isExcludedByFlock({ identity, mode }: LockRequest): boolean {
  const [dev, inode] = identity.split('/').map(BigInt) as [bigint, bigint];
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
  const place = `${hex(major)}:${hex(minor)}:${inode}`;
  return readFileSync('/proc/locks', 'latin1')
    .split('\n')
    .map((line) => line.split(/\s+/))
    .some(([, kind, , access, , file]) => {
      return kind === 'FLOCK' && file === place && (mode === 'exclusive' || access === 'WRITE');
    });
}

function hex(part: bigint): string {
  return part.toString(16).padStart(2, '0');
}
