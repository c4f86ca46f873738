// Transactions: all or nothing, and a conflict is tried again.
import { AegisError, StorageEngine, type Transaction } from 'aegis-storage';

const engine = await StorageEngine.open();
await engine.batch([
  { type: 'put', key: 'account/ada', value: '100' },
  { type: 'put', key: 'account/bob', value: '20' },
]);

const balance = (tx: Transaction, name: string) => Number(tx.getString(`account/${name}`) ?? 0);

function transfer(tx: Transaction, from: string, to: string, amount: number) {
  if (balance(tx, from) < amount) throw new Error(`${from} has not enough`);
  tx.put(`account/${from}`, String(balance(tx, from) - amount));
  tx.put(`account/${to}`, String(balance(tx, to) + amount));
}

// `transaction` commits, and runs the function again when another commit came in between.
let runs = 0;
await Promise.all(
  [1, 2, 3].map((amount) =>
    engine.transaction(async (tx) => {
      runs++;
      transfer(tx, 'ada', 'bob', amount);
      await Promise.resolve(); // here the other two go on
    }),
  ),
);
console.log('ada', engine.getString('account/ada'), 'bob', engine.getString('account/bob'));
console.log('more runs than transfers:', runs > 3);

// An error inside leaves nothing behind.
await engine
  .transaction((tx) => {
    tx.put('note', 'will be gone');
    transfer(tx, 'bob', 'ada', 1000);
  })
  .catch((error: Error) => console.log(error.message));
console.log('note is there:', engine.has('note'));

// By hand: the second of two that write the same key is refused, and has changed nothing.
const first = engine.beginTransaction();
const second = engine.beginTransaction();
first.put('account/ada', '0');
second.put('account/ada', '1');
await first.commit();
try {
  await second.commit();
} catch (error) {
  if (!(error instanceof AegisError)) throw error;
  console.log(error.code, 'retryable:', error.retryable);
}
await engine.close();

/* Output:
ada 94 bob 26
more runs than transfers: true
bob has not enough
note is there: false
CONFLICT retryable: true
*/
