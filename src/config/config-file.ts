/**
 * Configuration files: the section `[storage]` of a TOML text, with the keys of `StorageConfig` in snake_case.
 *
 * 1. Other sections are other programs'; an unknown key in this one is refused, with the nearest right name.
 * 2. Every value is checked as `StorageEngine.open` would check it, so a bad file is refused before any store is
 *    touched. Messages name the keys as the file writes them.
 * 3. Defaults are not filled in: what the file does not say stays open.
 */
import { parse, TomlError } from 'smol-toml';
import { AegisError, invalid, shown } from '../base/errors.ts';
import type { StorageConfig } from './config.ts';
import { KNOWN_KEYS, nearest, resolveConfig } from './config.ts';

const SECTION = 'storage';
/** Functions and objects have no form in a file. */
const UNWRITABLE: readonly string[] = ['codecs', 'onProgress'];

/** Names in a file, and the keys they stand for. */
const KEYS: ReadonlyMap<string, keyof StorageConfig> = new Map(
  KNOWN_KEYS.filter((key) => !UNWRITABLE.includes(key)).map((key) => [snakeCase(key), key]),
);

/**
 * Reads the section `[storage]` of a TOML text, for `StorageEngine.open`. Keys are those of `StorageConfig` in
 * snake_case (`data_directory`), sizes whole bytes or text such as `"1GB"`. Other sections are ignored; a text without
 * this one gives an empty configuration.
 * @throws AegisError `INVALID_ARGUMENT` (no TOML, with line and column; an unknown key, or a value that cannot be, by
 *   name), `TOO_LARGE` (a pool of 4 GiB or more), `UNSUPPORTED` (a compression this version cannot do)
 */
export function loadConfig(tomlText: string): StorageConfig {
  if (typeof tomlText !== 'string') throw invalid('loadConfig', tomlText, 'the text of a TOML file');
  const section = sectionOf(tomlText);
  const config: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(section)) config[keyOf(name)] = value;
  try {
    resolveConfig(config as StorageConfig);
  } catch (error) {
    throw error instanceof AegisError ? new AegisError(error.code, inFileTerms(error.message)) : error;
  }
  return config as StorageConfig;
}

function sectionOf(text: string): object {
  // A byte order mark is no part of the text.
  const toml = parseToml(text.replace(/^\uFEFF/, ''));
  const section: unknown = Object.hasOwn(toml, SECTION) ? toml[SECTION] : {};
  if (isTable(section)) return section;
  throw new AegisError(
    'INVALID_ARGUMENT',
    `${SECTION} is ${shown(section)}; a section [${SECTION}] is needed`,
  );
}

/** Dates are objects too, of a class. */
function isTable(value: unknown): value is object {
  return (
    typeof value === 'object' &&
    value !== null &&
    [Object.prototype, null].includes(Object.getPrototypeOf(value))
  );
}

function parseToml(text: string): Record<string, unknown> {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [reason = ''] = error.message.replace(/^Invalid TOML document: /, '').split('\n');
    const where = `line ${error.line}, column ${error.column}`;
    throw new AegisError('INVALID_ARGUMENT', `no TOML: ${where}: ${reason}`, { cause: error });
  }
}

function keyOf(name: string): keyof StorageConfig {
  const key = KEYS.get(name);
  if (key !== undefined) return key;
  if (UNWRITABLE.map(snakeCase).includes(name)) {
    const message = `${name} is no key of a configuration file: give ${unwritable(name)} to StorageEngine.open`;
    throw new AegisError('INVALID_ARGUMENT', message);
  }
  const known = [...KEYS.keys()];
  const near = nearest(name, known);
  const hint = near === undefined ? `known are ${known.join(', ')}` : `did you mean "${near}"?`;
  throw new AegisError('INVALID_ARGUMENT', `${JSON.stringify(name)} is no key of [${SECTION}]; ${hint}`);
}

function unwritable(name: string): string {
  return UNWRITABLE.find((key) => snakeCase(key) === name) as string;
}

function snakeCase(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** A refusal begins with the key it is about. */
function inFileTerms(message: string): string {
  return message.replace(/^\w+/, (word) =>
    (KNOWN_KEYS as readonly string[]).includes(word) ? snakeCase(word) : word,
  );
}
