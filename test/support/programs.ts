/*
 * Processes for tests that need more than one. A program is a TypeScript file of the project, bundled into one file
 * (the oldest Node cannot read TypeScript) and started in a runtime; it takes commands, a JSON line each, on its
 * standard input and answers each with a JSON line on its standard output.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { onTestFinished } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');

const { platform, arch } = process;
const modules = join(root, 'test/runtimes/node_modules');

/**
 * How each runtime starts a program. All but this Node are installed for CI only (test/runtimes); taken are the
 * programs themselves, not their launchers, which would outlive a kill.
 */
const commands = {
  node: [process.execPath],
  newest: [join(modules, `node-${platform}-${arch}/bin/node`)],
  deno: [join(modules, `@deno/${platform}-${arch}-glibc/deno`), 'run', '--quiet', '--no-config', '-A'],
  bun: [join(modules, `@oven/bun-${platform}-${arch === 'arm64' ? 'aarch64' : arch}/bin/bun`), 'run'],
} as const;

export type RuntimeName = keyof typeof commands;

/** Whether a runtime is there to start programs in. */
export function hasRuntime(runtime: RuntimeName): boolean {
  return existsSync(commands[runtime][0]);
}

/** How a runtime starts a program: its own program and the flags for it. */
export function commandOf(runtime: RuntimeName): readonly string[] {
  return commands[runtime];
}

/** Bundles a program into a folder; answers its path. */
export async function bundleProgram(source: string, folder: string): Promise<string> {
  const outfile = join(folder, `${basename(source, '.ts')}.mjs`);
  await build({
    absWorkingDir: root,
    entryPoints: [source],
    outfile,
    bundle: true,
    ignoreAnnotations: true, // package.json says that no source has side effects; what tests import may be there for them
    format: 'esm',
    platform: 'node',
    target: 'es2022',
    logLevel: 'warning',
    // A codec from outside says `!a instanceof b`.
    logOverride: { 'suspicious-boolean-not': 'silent' },
  });
  return outfile;
}

/** Flags under which Node may do everything but start other programs, so that it has no `flock` to run. */
export function flagsWithoutPrograms(): string[] {
  const has = (flag: string) => process.allowedNodeEnvironmentFlags.has(flag);
  const guard = has('--permission') ? '--permission' : '--experimental-permission';
  const allowed = ['--allow-fs-read=*', '--allow-fs-write=*', ...(has('--allow-net') ? ['--allow-net'] : [])];
  return [guard, ...allowed, '--no-warnings'];
}

/** A running program. */
export class Program {
  readonly #child: ChildProcess;
  readonly #waiting: ((line: string) => void)[] = [];
  readonly #ended: Promise<void>;
  #errors = '';

  constructor(path: string, runtime: RuntimeName = 'node', flags: readonly string[] = []) {
    const [command, ...known] = commands[runtime];
    this.#child = spawn(command!, [...known, ...flags, path], { stdio: ['pipe', 'pipe', 'pipe'] });
    // Writing to a program that has ended is not news: its end is.
    this.#child.stdin!.on('error', () => undefined);
    this.#child.stderr!.on('data', (text) => {
      this.#errors += String(text);
    });
    createInterface({ input: this.#child.stdout! }).on('line', (line) => this.#waiting.shift()?.(line));
    this.#ended = new Promise((resolve) => {
      this.#child.once('close', () => {
        for (const settle of this.#waiting.splice(0)) settle('');
        resolve();
      });
    });
    onTestFinished(() => this.kill());
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Sends a command and waits for its answer. */
  async ask<T>(...command: readonly unknown[]): Promise<T> {
    const line = await new Promise<string>((resolve) => {
      this.#waiting.push(resolve);
      this.#child.stdin!.write(`${JSON.stringify(command)}\n`);
    });
    if (line === '') throw new Error(`the program ended without an answer: ${this.#errors}`);
    return JSON.parse(line) as T;
  }

  /** Ends the program as a crash would, and waits until it is gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }
}
