// Two doctors are on call, one has to stay. With `snapshot` both may leave; `serializable` refuses the second.
import { type AegisError, type IsolationLevel, StorageEngine, type Transaction } from 'aegis-storage';

const engine = await StorageEngine.open();

function leave(tx: Transaction, name: string) {
  if (tx.count({ prefix: 'on call/' }) > 1) tx.delete(`on call/${name}`);
}

for (const isolation of ['snapshot', 'serializable'] satisfies IsolationLevel[]) {
  await engine.put('on call/ada', '');
  await engine.put('on call/bea', '');
  const ada = engine.beginTransaction({ isolation });
  const bea = engine.beginTransaction({ isolation });
  leave(ada, 'ada');
  leave(bea, 'bea');
  await ada.commit();
  const answer = await bea.commit().then(
    () => 'committed',
    (error: AegisError) => error.code,
  );
  console.log(`${isolation}: bea ${answer}, on call: ${engine.count({ prefix: 'on call/' })}`);
}
await engine.close();

/* Output:
snapshot: bea committed, on call: 0
serializable: bea CONFLICT, on call: 1
*/
