/**
 * Where a command writes when it was given a file.
 *
 * 1. A regular file appears under its name when it is whole. Until then what there was stays; the new one is beside it,
 *    and goes away if the command fails or is interrupted.
 * 2. Links stay: what they lead to is written.
 * 3. Devices, pipes and what this process has open already are written through: never replaced, never removed.
 * 4. The store's own files are refused.
 * 5. A failure names the file that was asked for, no other.
 */
import { accessSync, constants, realpathSync, rmSync, type Stats, statSync, type WriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DATA_FILE } from '../store/blocks.ts';
import { logNamesOf } from '../wal/segment.ts';
import type { Cli } from './cli.ts';
import { CommandFailure, EXIT_INTERRUPTED, UsageError } from './exit.ts';
import { endOfLinks, failureOfFile, isOpenAs } from './files.ts';
import { Output } from './output.ts';

/** Bits of a mode that say who may do what. */
const PERMISSIONS = 0o777;
const STDOUT = 1;
const STDERR = 2;

type Write<T> = (out: Output) => Promise<T>;

/**
 * Writes to what a name leads to. `store` is the folder of the store.
 * @throws CommandFailure when it cannot be written, UsageError when it is a file of the store
 */
export async function writeTarget<T>(cli: Cli, file: string, store: string, write: Write<T>): Promise<T> {
  const { stderr } = cli.surroundings;
  if (isOpenAs(file, STDOUT)) return write(cli.out);
  if (isOpenAs(file, STDERR)) return write(new Output(stderr, file));
  try {
    const stat = statSync(file, { throwIfNoEntry: false });
    if (stat === undefined || stat.isFile()) {
      const target = endOfLinks(file);
      const isOwn = dirname(target) === realpathSync(store) && isOwnName(basename(target));
      if (isOwn) throw new UsageError(`${file} belongs to the store`);
      return await replace(cli, file, target, stat, write);
    }
    if (!stat.isDirectory()) return await writeThrough(file, write);
  } catch (error) {
    throw failureOfFile(file, error);
  }
  throw new CommandFailure(`${file}: it is a folder`, 'EISDIR');
}

async function writeThrough<T>(file: string, write: Write<T>): Promise<T> {
  const handle = await open(file, 'w');
  return intoStream(handle.createWriteStream(), file, write);
}

/** Puts a whole file in the place of what there was, or was not. */
async function replace<T>(
  cli: Cli,
  file: string,
  target: string,
  old: Stats | undefined,
  write: Write<T>,
): Promise<T> {
  if (old !== undefined) accessSync(target, constants.W_OK);
  const draft = join(dirname(target), `.aegis-${process.pid}-${Date.now().toString(36)}.part`);
  const handle = await open(draft, 'wx');
  const forget = cli.surroundings.onInterrupt(() => {
    rmSync(draft, { force: true });
    process.exit(EXIT_INTERRUPTED);
  });
  try {
    if (old !== undefined) await handle.chmod(old.mode & PERMISSIONS);
    const result = await intoStream(handle.createWriteStream({ flush: true }), file, write);
    await rename(draft, target);
    return result;
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  } finally {
    forget();
  }
}

async function intoStream<T>(stream: WriteStream, file: string, write: Write<T>): Promise<T> {
  try {
    const result = await write(new Output(stream, file));
    await new Promise<void>((resolve, reject) => {
      stream.once('error', reject).once('close', resolve).end();
    });
    return result;
  } catch (error) {
    stream.destroy();
    throw error;
  }
}

/** Whether a name in its folder is a file of a store. */
function isOwnName(name: string): boolean {
  return name === DATA_FILE || name.startsWith('lock') || logNamesOf([name]).length > 0;
}
