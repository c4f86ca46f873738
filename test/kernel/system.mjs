/*
 * What the real-kernel tests ask of the machine: programs, mounts and loop devices, and children that talk in lines.
 *
 * All of it happens in a mount and a process namespace of our own, entered by starting ourselves again: however the
 * run ends, the kernel then kills what is left, takes the mounts away and, since loop devices are made by `mount`,
 * frees those with them. Only files stay, in a folder named after the process that made it; the next run removes them.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';

const PREFIX = 'aegis-kernel-';
const COMMAND_LIMIT = 120_000; // ms, for programs that hang
const NAMESPACES = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
const ENVIRONMENT = 'AEGIS_KERNEL_PLACE';

/** The folder everything happens in, once we are in namespaces of our own. */
export const place = process.env[ENVIRONMENT];

/** Why tests that need these programs cannot run here; undefined when they can. */
export function missing(programs, files = []) {
  if (process.platform !== 'linux') return 'this is not Linux';
  if (process.getuid?.() !== 0) return 'this needs root';
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  const absent = programs.filter((name) => !folders.some((folder) => existsSync(join(folder, name))));
  absent.push(...files.filter((file) => !existsSync(file)));
  if (absent.length > 0) return `there is no ${absent.join(', ')}`;
  if (place !== undefined) return undefined;
  const { status } = spawnSync('unshare', [...NAMESPACES, 'true']);
  return status === 0 ? undefined : 'namespaces cannot be made here';
}

/** Starts this program again in namespaces of its own and ends as it does. */
export async function enterNamespaces() {
  const folder = join(tmpdir(), `${PREFIX}${process.pid}`);
  removeLeftovers();
  mkdirSync(folder, { mode: 0o700 });
  const child = spawn('unshare', [...NAMESPACES, process.execPath, ...process.argv.slice(1)], {
    stdio: ['pipe', 'inherit', 'inherit'],
    env: { ...process.env, [ENVIRONMENT]: folder },
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill('SIGKILL'));
  try {
    return await new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (status, signal) => {
        if (signal) console.log(`kernel: ended by ${signal}`);
        resolve(status ?? 1);
      });
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Inside: when the process that started us dies, however it does, so do we, and all that we started. */
export function endWithParent() {
  process.stdin.on('close', () => process.exit(1)).resume();
}

function removeLeftovers() {
  for (const name of readdirSync(tmpdir())) {
    const maker = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : '';
    if (!/^\d+$/.test(maker) || existsSync(`/proc/${maker}`)) continue;
    rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

/** Runs a program to its end; answers what it printed, or throws with everything it said. */
export function run(program, ...args) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { timeout: COMMAND_LIMIT, stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
    }
    child.on('error', reject);
    child.on('close', (status, signal) => {
      if (status === 0) resolve(text.trim());
      else reject(new Error(`${program} ${args.join(' ')} ended with ${signal ?? status}: ${text.trim()}`));
    });
  });
}

/** Mounts, and answers how to take the mount away again. */
export async function mount(target, ...args) {
  mkdirSync(target, { recursive: true });
  await run('mount', ...args, target);
  let isThere = true;
  return async () => {
    if (!isThere) return;
    isThere = false;
    for (let tries = 1; ; tries++) {
      try {
        return await run('umount', target);
      } catch (error) {
        // Whoever was killed may need a moment until its files are closed.
        if (tries === 20) throw error;
        await pause(50);
      }
    }
  };
}

export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A program that takes orders and answers in lines. */
export class Child {
  lines = [];
  #child;
  #hear = () => undefined;
  #ended;
  #errors = '';
  /** Called with every line. */
  onLine = () => undefined;

  constructor(command, ...args) {
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stdin.on('error', () => undefined);
    this.#child.stderr.on('data', (text) => {
      this.#errors += text;
    });
    const lines = createInterface({ input: this.#child.stdout });
    lines.on('line', (line) => {
      this.lines.push(line);
      this.onLine(line);
      this.#hear();
    });
    const closed = [this.#child, lines].map(
      (source) => new Promise((resolve) => source.once('close', resolve)),
    );
    this.#child.once('error', (error) => {
      this.#errors += error.message;
    });
    this.#ended = Promise.all(closed).then(() => {
      this.hasEnded = true;
      this.#hear();
    });
  }

  get pid() {
    return this.#child.pid;
  }

  order(what) {
    this.#child.stdin.write(`${typeof what === 'string' ? what : JSON.stringify(what)}\n`);
  }

  /** The first line from `from` on that begins so, without its beginning; throws when the program ends or hangs. */
  async said(beginning, from = 0, limit = COMMAND_LIMIT) {
    const deadline = performance.now() + limit;
    for (let at = from; ; ) {
      for (; at < this.lines.length; at++) {
        if (this.lines[at].startsWith('stray')) throw new Error(this.lines[at]);
        if (this.lines[at].startsWith(beginning)) return this.lines[at].slice(beginning.length).trim();
      }
      const last = `after ${JSON.stringify(this.lines.slice(-3))} ${this.#errors}`;
      if (this.hasEnded) throw new Error(`the child ended without saying ${beginning}, ${last}`);
      if (performance.now() > deadline)
        throw new Error(`the child hangs and does not say ${beginning}, ${last}`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, 1000);
        this.#hear = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Gives an order and waits for the answer to it. */
  async ask(what, beginning = 'end') {
    const from = this.lines.length;
    this.order(what);
    return JSON.parse(await this.said(beginning, from));
  }

  /** Ends it as a crash would; answers what it said that should not have happened. */
  async kill() {
    this.#child.kill('SIGKILL');
    await this.#ended;
    return this.lines.filter((line) => line.startsWith('stray'));
  }
}
