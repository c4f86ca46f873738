/**
 * One run of the command line, as a command sees it: what was asked for by all commands alike, where answers go, and
 * the store.
 *
 * 1. A store is opened the least that will do: reading commands change nothing and make nothing.
 * 2. It is closed whatever happens, before the exit status is known: a failing last checkpoint is a failure.
 * 3. In a shell the store is open already, and stays so.
 */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { AegisError } from '../base/errors.ts';
import { loadConfig } from '../config/config-file.ts';
import type { EngineCore } from '../engine/engine-core.ts';
import type { StorageConfig, StorageEngine } from '../index.ts';
import { lineAgain } from './command-line.ts';
import { EXIT_OK, Interrupted, UsageError } from './exit.ts';
import type { Output } from './output.ts';
import { Screen } from './screen.ts';
import type { Session } from './shell/session.ts';
import type { Surroundings } from './surroundings.ts';
import { type KeySpace, keySpaceOf, type Shell } from './view.ts';

/** Options of every command. */
export interface GlobalOptions {
  readonly config?: string;
  readonly directory?: string;
  readonly json?: true;
}

/** Which tree a command is about; absent: the store's own. */
export interface TreeOption {
  readonly tree?: string;
}

/** What a command does to the store: read it, change it, or change it and make it if it is not there. */
export type Access = 'read' | 'change' | 'create';

/** What a command does; answers its exit status, by default 0. */
type Action<Options> = (
  options: Options,
  ...operands: string[]
) => Promise<number | undefined> | number | undefined;

/** Milliseconds that a command works before others have a turn. */
const TURN = 20;

export class Cli {
  readonly surroundings: Surroundings;
  /** For the answer. */
  readonly out: Output;
  /** For people who wait. */
  readonly errorScreen: Screen;
  /** The shell in which the command was typed. */
  readonly shell: Shell | undefined;
  /** Runs a line of a shell; answers its exit status. */
  runLine: (words: readonly string[], session: Session) => Promise<number> = async () => EXIT_OK;
  /** What may come after these words of a shell's line. */
  wordsFor: (words: readonly string[], session: Session) => readonly string[] = () => [];
  /** How the command ends. */
  status = EXIT_OK;
  options: GlobalOptions = {};
  /** The line that runs this command again, with these options changed. */
  lineAgain: (changed: Readonly<Record<string, string>>) => string = () => '';
  /** Hears how far the store's own work is. */
  onProgress: StorageConfig['onProgress'];
  #pauseAt = performance.now() + TURN;

  constructor(surroundings: Surroundings, out: Output, shell?: Shell) {
    this.surroundings = surroundings;
    this.out = out;
    this.errorScreen = new Screen(surroundings.stderr, surroundings.environment);
    this.shell = shell;
  }

  /** Whether answers are for programs. */
  get json(): boolean {
    return this.options.json === true;
  }

  /** What a command does, with its options and its operands, in the form that commander calls. */
  action<Options extends object>(
    run: Action<Options>,
  ): (this: Command, ...given: unknown[]) => Promise<void> {
    const cli = this;
    return async function (this: Command) {
      cli.options = this.optsWithGlobals<GlobalOptions>();
      cli.lineAgain = (changed) => lineAgain(this, this.args, changed);
      cli.status = (await run(this.opts<Options>(), ...this.args)) ?? EXIT_OK;
      await cli.out.flush();
    };
  }

  /**
   * Lets everything else run now and then: timers, signals, and the keys of whoever waits at a shell.
   * @throws Interrupted when he has pressed Ctrl-C
   */
  async pause(): Promise<void> {
    if (performance.now() < this.#pauseAt) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#pauseAt = performance.now() + TURN;
    if (this.shell?.isInterrupted) throw new Interrupted();
  }

  /** A screen for an answer that is tables and headings. */
  get screen(): Screen {
    return new Screen(this.surroundings.stdout, this.surroundings.environment, (text) => this.out.add(text));
  }

  /** Opens the store for as long as `work` runs. */
  async withStore<T>(
    access: Access,
    work: (engine: StorageEngine, engineCore: EngineCore) => Promise<T> | T,
  ): Promise<T> {
    if (this.shell) return work(this.shell.engine, this.shell.engineCore);
    const { engine, engineCore } = await openStore(this.storeConfig(access));
    let result: T;
    try {
      result = await work(engine, engineCore);
    } catch (error) {
      await engine.close().catch(() => undefined);
      throw error;
    }
    await engine.close();
    return result;
  }

  /** Opens the store and picks the key space that a command is about. */
  async withKeys<T>(access: Access, { tree }: TreeOption, work: (keys: KeySpace) => Promise<T>): Promise<T> {
    return this.withStore(access, (engine) => work(keySpaceOf(engine, this.shell, tree)));
  }

  /** How a command opens the store: the configuration file, and what the command line says over it. */
  storeConfig(access: Access): StorageConfig {
    const { createIfMissing, errorIfExists, ...config } = this.fileConfig();
    const { onProgress } = this;
    return {
      ...config,
      ...(onProgress === undefined ? {} : { onProgress }),
      backend: 'local',
      ...(this.options.directory === undefined ? {} : { dataDirectory: this.options.directory }),
      ...(access === 'read' ? { readOnly: true } : {}),
      createIfMissing: access === 'create' && createIfMissing !== false,
      ...(access === 'create' && errorIfExists !== undefined ? { errorIfExists } : {}),
    };
  }

  /** What the configuration file says. @throws UsageError when it is not there or makes no sense */
  fileConfig(): StorageConfig {
    const { config: path } = this.options;
    if (path === undefined) return {};
    const config = readConfig(path);
    if (config.backend === undefined || config.backend === 'local') return config;
    throw new UsageError(`--config ${path}: backend is "memory"; the command line works on local stores`);
  }
}

/** Opens a store as `StorageEngine.open` does, and keeps what is behind it within reach. */
async function openStore(given: StorageConfig): Promise<Pick<Shell, 'engine' | 'engineCore'>> {
  const [{ StorageEngine: Engine }, { openEngineCore }, { resolveConfig }] = await Promise.all([
    import('../index.ts'),
    import('../engine/open.ts'),
    import('../config/config.ts'),
  ]);
  const engineCore = await openEngineCore(resolveConfig(given));
  return { engine: new Engine(engineCore), engineCore };
}

function readConfig(path: string): StorageConfig {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new UsageError(`--config ${path}: ${message}`, code?.startsWith('ERR_') ? undefined : code);
  }
  try {
    return loadConfig(text);
  } catch (error) {
    if (!(error instanceof AegisError)) throw error;
    throw new UsageError(`--config ${path}: ${error.message}`, error.code);
  }
}
