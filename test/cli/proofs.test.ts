/*
 * The demo's judge. A proof that cannot fail proves nothing, so each claim is tried on a store that was doctored: with
 * an acknowledged transaction taken out, a half one put in, one byte changed.
 */
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { fingerprintOf, readCities } from '../../src/cli/demo/cities.ts';
import { judgeLedger, LANES, transactionRecords } from '../../src/cli/demo/ledger.ts';
import { Proofs } from '../../src/cli/demo/stage.ts';
import { StorageEngine } from '../../src/index.ts';

const encoder = new TextEncoder();

let store: StorageEngine;
const acknowledged = new Set([8, 9, 10, 16, 17, 61]);
const begun = new Set([...acknowledged, 18, 24]);
const claims = { begun, acknowledged };

beforeEach(async () => {
  store = await StorageEngine.open();
  onTestFinished(() => store.close());
  for (const n of acknowledged) await commit(n);
});

async function commit(n: number, records = transactionRecords(n)): Promise<void> {
  await store.batch(records.map(([key, value]) => ({ type: 'put', key, value })));
}

test('ledger: a store with every acknowledged transaction is sound', () => {
  expect(judgeLedger(store, claims)).toEqual({ whole: acknowledged, lost: [], half: [], foreign: [] });
});

test('ledger: a transaction in flight may be there or not, but only whole', async () => {
  await commit(18);
  expect(judgeLedger(store, claims)).toMatchObject({ lost: [], half: [], foreign: [] });
  await commit(24, transactionRecords(24).slice(0, 1));
  expect(judgeLedger(store, claims)).toMatchObject({ lost: [], half: [24] });
});

test('ledger: an acknowledged transaction that is gone is lost', async () => {
  for (const [key] of transactionRecords(9)) if (key.startsWith('ledger/')) await store.delete(key);
  expect(judgeLedger(store, claims)).toMatchObject({ lost: [9], half: [] });
});

test('ledger: a part that is missing, changed or cut makes a transaction half and lost', async () => {
  for (const [n, part] of [[10, 0] as const, [61, 5] as const]) {
    const [key, value] = transactionRecords(n)[part]!;
    await store.delete(key);
    expect(judgeLedger(store, claims), key).toMatchObject({ lost: [n], half: [n] });
    for (const wrong of [`${value.slice(0, -1)}_`, value.slice(0, -1), '']) {
      await store.put(key, wrong);
      expect(judgeLedger(store, claims), key).toMatchObject({ lost: [n], half: [n] });
    }
    await store.put(key, value);
  }
  expect(judgeLedger(store, claims)).toMatchObject({ lost: [], half: [], foreign: [] });
});

test('ledger: an overwritten key that shows an older or no transaction makes the newest one half', async () => {
  const [key] = transactionRecords(16).at(-1)!;
  await store.put(key, '8');
  expect(judgeLedger(store, claims)).toMatchObject({ lost: [16], half: [16], foreign: [] });
  await store.delete(key);
  expect(judgeLedger(store, claims)).toMatchObject({ lost: [16], half: [16], foreign: [] });
  await store.put(key, '24');
  expect(judgeLedger(store, claims)).toMatchObject({ lost: [16], half: [16, 24], foreign: [] });
});

test('ledger: what nobody began is foreign', async () => {
  await commit(LANES * 100);
  const { foreign } = judgeLedger(store, claims);
  expect(foreign).toContain('ledger/00000800/0');
  expect(foreign).toContain('latest/0/0');
});

test('cities: the fingerprint of a scan is that of the data, until one byte differs', async () => {
  const cities = readCities(1000);
  const fresh = await StorageEngine.open();
  onTestFinished(() => fresh.close());
  await fresh.batch(cities.records.map(({ key, value }) => ({ type: 'put', key, value })));
  expect(fingerprintOf(fresh.scan())).toBe(cities.fingerprint);
  const { key, value } = cities.records[500]!;
  await fresh.put(key, value.replace('{', '['));
  expect(fingerprintOf(fresh.scan())).not.toBe(cities.fingerprint);
  await fresh.put(key, value);
  await fresh.delete(cities.sortedKeys.at(-1)!);
  expect(fingerprintOf(fresh.scan())).not.toBe(cities.fingerprint);
});

test('cities: a byte that moves from key to value changes the fingerprint', () => {
  const entry = (key: string, value: string) => [encoder.encode(key), encoder.encode(value)] as const;
  expect(fingerprintOf([entry('ab', 'c')])).not.toBe(fingerprintOf([entry('a', 'bc')]));
});

test('proofs: one claim that does not hold is enough', () => {
  const shown: string[] = [];
  const proofs = new Proofs({ verdict: (held, claim) => void shown.push(`${held} ${claim}`) });
  proofs.check(true, 'water is wet', 'dry');
  expect(proofs.allHeld).toBe(true);
  proofs.check(false, 'none is lost', '1 is');
  expect(proofs.allHeld).toBe(false);
  expect(proofs.failed).toEqual(['none is lost (found: 1 is)']);
  expect(shown).toEqual(['true water is wet', 'false none is lost: no, 1 is']);
});
