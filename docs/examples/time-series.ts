// Measurements by sensor and time: a prefix is one sensor, bounds are a time range, reverse is "the latest".
import { StorageEngine } from 'aegis-storage';

const engine = await StorageEngine.open();
/** ISO times of one form are in the order of time. */
const key = (sensor: string, at: Date) => `${sensor}/${at.toISOString()}`;
const minute = (n: number) => new Date(Date.UTC(2026, 0, 1, 12, n));

await engine.batch(
  (function* () {
    for (let n = 0; n < 60; n++) {
      yield { type: 'put' as const, key: key('attic', minute(n)), value: String(20 + (n % 7)) };
      yield { type: 'put' as const, key: key('cellar', minute(n)), value: String(10 + (n % 3)) };
    }
  })(),
);

const text = new TextDecoder();
const quarter = engine.scan({ gte: key('attic', minute(15)), lt: key('attic', minute(30)) });
const values = [...quarter.values()].map((value) => Number(text.decode(value)));
console.log('second quarter:', values.length, 'values, highest', Math.max(...values));

for (const [at, value] of engine.scan({ prefix: 'cellar/', reverse: true, limit: 2 })) {
  console.log(text.decode(at), text.decode(value));
}

// Old ones go by range, in one transaction.
await engine.transaction((tx) => {
  for (const sensor of ['attic', 'cellar'])
    tx.deleteRange({ prefix: `${sensor}/`, lt: key(sensor, minute(45)) });
});
console.log('left:', engine.count());
await engine.close();

/* Output:
second quarter: 15 values, highest 26
cellar/2026-01-01T12:59:00.000Z 12
cellar/2026-01-01T12:58:00.000Z 11
left: 30
*/
