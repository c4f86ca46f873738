// An import that leaves out the orders it cannot make sense of, without starting over.
import { StorageEngine } from 'aegis-storage';

const engine = await StorageEngine.open();
const orders = [
  { id: 'a1', items: ['pen', 'ink'] },
  { id: 'a2', items: ['paper', ''] },
  { id: 'a3', items: ['desk'] },
];

await engine.transaction((tx) => {
  for (const { id, items } of orders) {
    const savepoint = tx.savepoint();
    tx.put(`order/${id}`, String(items.length));
    for (const [index, item] of items.entries()) {
      if (item === '') {
        console.log('left out:', id);
        tx.rollbackTo(savepoint); // what this order has written is gone, the orders before it stay
        break;
      }
      tx.put(`item/${id}/${index}`, item);
    }
  }
});

console.log('orders:', engine.count({ prefix: 'order/' }), 'items:', engine.count({ prefix: 'item/' }));
await engine.close();

/* Output:
left out: a2
orders: 2 items: 3
*/
