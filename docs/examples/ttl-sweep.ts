// Records that expire: a second key, ordered by the time of expiry, says what is due.
import { StorageEngine } from 'aegis-storage';

const engine = await StorageEngine.open();
const due = (at: number) => `expires/${String(at).padStart(15, '0')}/`;

async function putUntil(key: string, value: string, expiresAt: number): Promise<void> {
  await engine.transaction((tx) => {
    const before = tx.getString(`until/${key}`);
    if (before !== undefined) tx.delete(due(Number(before)) + key);
    tx.put(`data/${key}`, value);
    tx.put(`until/${key}`, String(expiresAt));
    tx.put(due(expiresAt) + key, '');
  });
}

/** Removes what is due, some at a time, so that no transaction is long. */
async function sweep(now: number, atOnce = 100): Promise<number> {
  const text = new TextDecoder();
  for (let swept = 0; ; ) {
    const found = await engine.transaction((tx) => {
      const keys = [...tx.scan({ prefix: 'expires/', lt: due(now + 1), limit: atOnce }).keys()];
      for (const bytes of keys) {
        const key = text.decode(bytes).slice(due(0).length);
        for (const gone of [bytes, `data/${key}`, `until/${key}`]) tx.delete(gone);
      }
      return keys.length;
    });
    swept += found;
    if (found < atOnce) return swept;
  }
}

for (let i = 0; i < 500; i++) await putUntil(`session/${i}`, 'logged in', 1000 + i);
await putUntil('session/3', 'logged in again', 9000); // a later expiry takes the place of the earlier one
console.log('swept:', await sweep(1199));
console.log('session/3:', engine.getString('data/session/3'));
console.log('left:', engine.count({ prefix: 'data/' }));
await engine.close();

/* Output:
swept: 199
session/3: logged in again
left: 301
*/
