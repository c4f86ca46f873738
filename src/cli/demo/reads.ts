/**
 * Act two: reading by key, by prefix, and backwards, each answer compared with the data set.
 */
import type { Entry, StorageEngine } from '../../index.ts';
import { count, rate, time } from '../units.ts';
import type { City } from './cities.ts';
import { CITY_PREFIX, countryPrefix } from './cities.ts';
import type { Stage } from './stage.ts';

const RANDOM_READS = 100_000;
const COUNTRY = 'JP';
const LARGEST_SHOWN = 5;
const LAST_SHOWN = 3;

/** What reading took. */
export interface ReadFigures {
  readonly reads: number;
  readonly readMilliseconds: number;
  readonly scanned: number;
  readonly scanMilliseconds: number;
}

const decoder = new TextDecoder();

export function read(engine: StorageEngine, stage: Stage): ReadFigures {
  stage.screen.heading('read', 'by key, by prefix, backwards');
  const points = readPoints(engine, stage);
  const scan = scanAll(engine, stage);
  stage.screen.line();
  scanCountry(engine, stage);
  stage.screen.line();
  scanBackwards(engine, stage);
  return { ...points, ...scan };
}

function readPoints(engine: StorageEngine, { screen, cities, proofs }: Stage) {
  const { records } = cities;
  const wanted = Array.from(
    { length: RANDOM_READS },
    () => records[Math.floor(Math.random() * records.length)]!,
  );
  const begin = performance.now();
  const answers = wanted.map(({ key }) => engine.get(key));
  const readMilliseconds = performance.now() - begin;
  const wrong = wanted.filter(({ value }, index) => textOf(answers[index]) !== value).length;
  screen.fact(
    `${count(RANDOM_READS)} random gets`,
    `${rate(RANDOM_READS, readMilliseconds)} gets/s`,
    `in ${time(readMilliseconds)}`,
  );
  proofs.check(wrong === 0, 'every value read is the value written', `${count(wrong)} are not`);
  return { reads: RANDOM_READS, readMilliseconds };
}

function scanAll(engine: StorageEngine, { screen }: Stage) {
  const begin = performance.now();
  let scanned = 0;
  for (const _ of engine.scan({ prefix: CITY_PREFIX })) ++scanned;
  const scanMilliseconds = performance.now() - begin;
  screen.fact(
    `scan of ${count(scanned)} records`,
    `${rate(scanned, scanMilliseconds)} records/s`,
    `in ${time(scanMilliseconds)}`,
  );
  return { scanned, scanMilliseconds };
}

function scanCountry(engine: StorageEngine, { screen, cities, proofs }: Stage): void {
  const prefix = countryPrefix(COUNTRY);
  const begin = performance.now();
  const found = [...engine.scan({ prefix })].map(cityOf);
  const milliseconds = performance.now() - begin;
  const country = new Intl.DisplayNames('en', { type: 'region' }).of(COUNTRY) ?? COUNTRY;
  screen.fact(
    `scan of prefix ${prefix}`,
    `${count(found.length)} cities`,
    `${country}, in ${time(milliseconds)}`,
  );
  const largest = found.sort((a, b) => b.population - a.population).slice(0, LARGEST_SHOWN);
  screen.table(
    [
      { title: 'largest cities', width: 26 },
      { title: 'population', align: 'right', width: 14 },
      { title: 'latitude', align: 'right', width: 10 },
      { title: 'longitude', align: 'right', width: 10 },
    ],
    largest.map(({ name, population, loc: { coordinates } }) => [
      name,
      count(population),
      coordinates[1].toFixed(3),
      coordinates[0].toFixed(3),
    ]),
  );
  const expected = cities.sortedKeys.filter((key) => key.startsWith(prefix)).length;
  proofs.check(found.length === expected, 'the prefix scan misses no city', `${found.length} of ${expected}`);
}

function scanBackwards(engine: StorageEngine, { screen, cities, proofs }: Stage): void {
  const keys = [...engine.scan({ prefix: CITY_PREFIX, reverse: true, limit: LAST_SHOWN }).keys()].map(textOf);
  screen.fact('scan in reverse', `limit ${LAST_SHOWN}`, 'the last keys of all');
  for (const key of keys) screen.say(`  ${key}`);
  const expected = cities.sortedKeys.slice(-LAST_SHOWN).reverse();
  proofs.check(keys.join('\n') === expected.join('\n'), 'they come in reverse order', keys.join(', '));
}

function textOf(bytes: Uint8Array | undefined): string | undefined {
  return bytes && decoder.decode(bytes);
}

function cityOf([, value]: Entry): City {
  return JSON.parse(decoder.decode(value)) as City;
}
