/*
 * The child's part of the full-disk test: it fills a disk until nothing fits, shows what must still work there, waits
 * until the disk has grown, and shows that the same open store works again. A record's size and bytes follow from its
 * number, so that whoever opens the store next can check it.
 */
import type { StorageConfig, StorageEngine } from '../../src/index.ts';
import { Random } from '../wal/random.ts';

export interface DiskOrder {
  readonly directory: string;
  readonly config: Partial<StorageConfig>;
  readonly seed: number;
  /** Numbers of the records that must be there, and that may be. */
  readonly known: readonly number[];
  readonly blocking: boolean;
}

/** An order, and the child's ways to the outside. */
export interface DiskTask {
  readonly order: DiskOrder;
  say(line: string): void;
  nextLine(): Promise<string>;
  load(): Promise<typeof import('../../src/index.ts')>;
}

/** Refusals in a row after which the disk counts as full: later records are smaller. */
const REFUSALS = 12;

function keyOf(number: number): string {
  return `more/${String(number).padStart(6, '0')}`;
}

/** Bytes of a record: mostly small, some of many pages. */
function bytesOf(number: number): Uint8Array {
  const random = new Random(number);
  const size = random.chance(0.05) ? random.below(60_000) : random.below(3000);
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at++) bytes[at] = random.below(256);
  return bytes;
}

/** Writes, deletes and checks records, and keeps account of them. */
class Filler {
  readonly known: Set<number>;
  readonly #engine: StorageEngine;
  readonly #task: DiskTask;
  #next: number;
  refused = 0;

  constructor(engine: StorageEngine, task: DiskTask) {
    this.#engine = engine;
    this.#task = task;
    this.known = new Set(task.order.known);
    this.#next = Math.max(0, ...this.known) + 1;
  }

  /** Writes one record after the other until so many in a row are refused. */
  async fill(): Promise<void> {
    for (let refusals = 0; refusals < REFUSALS; )
      refusals = (await this.#put(this.#next++)) ? 0 : refusals + 1;
  }

  async #put(number: number): Promise<boolean> {
    const [key, value] = [keyOf(number), bytesOf(number)];
    try {
      if (this.#task.order.blocking || number % 3 === 0) this.#engine.putSync(key, value);
      else if (number % 3 === 1) await this.#engine.put(key, value);
      else await this.#engine.transaction((tx) => tx.put(key, value));
    } catch (error) {
      this.#refusal(error, key);
      if (this.#engine.has(key)) this.#task.say(`stray ${key} was refused and is there`);
      return false;
    }
    this.known.add(number);
    this.#task.say(`kept ${number}`);
    return true;
  }

  #refusal(error: unknown, what: string): void {
    const { code, errno, message } = error as { code?: string; errno?: string; message: string };
    this.refused++;
    if (code !== 'OUT_OF_SPACE')
      this.#task.say(`stray ${what} was refused with ${code} ${errno}: ${message}`);
  }

  /** Deletes every second record and makes a checkpoint; all of it must succeed. */
  async empty(): Promise<number> {
    let deleted = 0;
    for (const number of [...this.known]) {
      if (number % 2 === 0) continue;
      const key = keyOf(number);
      this.#task.say(`going ${number}`);
      try {
        const there = this.#task.order.blocking
          ? this.#engine.deleteSync(key)
          : await this.#engine.delete(key);
        if (!there) this.#task.say(`stray ${key} was not there`);
      } catch (error) {
        this.#task.say(`stray delete of ${key} on a full disk: ${String(error)}`);
        return deleted;
      }
      deleted++;
      this.known.delete(number);
      this.#task.say(`gone ${number}`);
    }
    try {
      await this.#engine.checkpoint();
    } catch (error) {
      this.#task.say(`stray checkpoint on a full disk: ${String(error)}`);
    }
    return deleted;
  }

  /** Must succeed: there is space again. */
  async large(): Promise<void> {
    const number = this.#next++;
    for (const size of [10, 200_000, 1_000_000]) {
      try {
        await this.#engine.put('more/large', new Uint8Array(size).fill(number));
        this.#engine.putSync('more/large', new Uint8Array(size).fill(number + 1));
      } catch (error) {
        this.#task.say(`stray ${size} bytes after space returned: ${String(error)}`);
      }
    }
    await this.#engine.delete('more/large');
    await this.fillSome(50);
    await this.#engine.checkpoint();
  }

  async fillSome(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      if (!(await this.#put(this.#next++))) this.#task.say('stray a refusal after space returned');
    }
  }
}

/** What is wrong with the records of a store; `open`: numbers that may be there or not. */
function problemsOf(engine: StorageEngine, known: ReadonlySet<number>, open: number | undefined): string[] {
  const problems: string[] = [];
  let found = 0;
  for (const [bytes, value] of engine.scan({ prefix: 'more/' })) {
    const key = Buffer.from(bytes).toString();
    const number = Number(key.slice(5));
    if (known.has(number)) found++;
    else if (number !== open) problems.push(`ghost: ${key} should not be there`);
    if (Buffer.compare(value, bytesOf(number)) !== 0) problems.push(`half: ${key} holds another value`);
  }
  const missing = open !== undefined && known.has(open) && !engine.has(keyOf(open)) ? 1 : 0;
  if (found + missing < known.size) problems.push(`lost: ${known.size - found} of ${known.size} records`);
  return problems;
}

async function checked(engine: StorageEngine, known: ReadonlySet<number>, open?: number): Promise<string[]> {
  const problems = problemsOf(engine, known, open);
  const report = await engine.verify();
  return [...problems, ...report.problems.map(({ message }) => `verify: ${message}`)];
}

/** Opens, fills, says `full`; goes on at each line from outside: emptied, filled again, and grown. */
export async function fillDisk(task: DiskTask): Promise<void> {
  const { say, nextLine, order } = task;
  const { StorageEngine: Engine } = await task.load();
  const config = { ...order.config, backend: 'local', dataDirectory: order.directory } as const;
  const problems: string[] = [];
  let engine: StorageEngine;
  let tight = false;
  try {
    engine = await Engine.open(config);
  } catch (error) {
    if ((error as { code?: string }).code !== 'OUT_OF_SPACE') throw error;
    // Too small for a store: nothing is harmed, and with space it opens.
    tight = true;
    say('full {"opened":false}');
    await nextLine();
    engine = await Engine.open(config);
  }
  const filler = new Filler(engine, task);
  problems.push(...(await checked(engine, filler.known)));
  let deleted = 0;
  if (!tight) {
    await filler.fill();
    problems.push(...(await checked(engine, filler.known)));
    say(`full ${JSON.stringify({ opened: true, records: filler.known.size })}`);
    await nextLine();
    deleted = await filler.empty();
    problems.push(...(await checked(engine, filler.known)));
    await filler.fill();
    say('again');
    await nextLine();
  }
  await filler.large();
  problems.push(...(await checked(engine, filler.known)));
  await engine.close();
  engine = await Engine.open(config);
  problems.push(...(await checked(engine, filler.known)));
  await engine.close();
  const { refused, known } = filler;
  say(`end ${JSON.stringify({ problems, refused, deleted, tight, records: known.size })}`);
}

/** Opens what a dead child left on a disk that is still full, checks it, and empties it. */
export async function checkDisk(task: DiskTask): Promise<void> {
  const { order, say } = task;
  const { StorageEngine: Engine } = await task.load();
  const engine = await Engine.open({ ...order.config, backend: 'local', dataDirectory: order.directory });
  const filler = new Filler(engine, task);
  const problems = await checked(engine, filler.known);
  const deleted = await filler.empty();
  problems.push(...(await checked(engine, filler.known)));
  await engine.close();
  say(`end ${JSON.stringify({ problems, deleted, records: filler.known.size })}`);
}
