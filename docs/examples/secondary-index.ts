// Named trees: records in one, an index over them in another; a transaction changes both or none.
import { StorageEngine } from 'aegis-storage';

interface Person {
  name: string;
  city: string;
}

const engine = await StorageEngine.open();

async function save(id: string, person: Person): Promise<void> {
  await engine.transaction((tx) => {
    const people = tx.tree('people');
    const byCity = tx.tree('people by city');
    const before = people.getString(id);
    if (before !== undefined) byCity.delete(`${(JSON.parse(before) as Person).city}/${id}`);
    people.put(id, JSON.stringify(person));
    byCity.put(`${person.city}/${id}`, '');
  });
}

await save('1', { name: 'Ada', city: 'Bern' });
await save('2', { name: 'Bea', city: 'Basel' });
await save('3', { name: 'Cyd', city: 'Bern' });
await save('1', { name: 'Ada', city: 'Basel' }); // she moves, and so does her entry in the index

const text = new TextDecoder();
const people = engine.tree('people');
for (const key of engine.tree('people by city').scan({ prefix: 'Basel/' }).keys()) {
  console.log(people.getString(text.decode(key).slice('Basel/'.length)));
}
console.log('trees:', engine.trees().join(', '));

// An index can be made anew: dropping a tree gives its pages back.
console.log('dropped:', await engine.dropTree('people by city'));
console.log('people:', people.count(), 'index:', engine.tree('people by city').count());
await engine.close();

/* Output:
{"name":"Ada","city":"Basel"}
{"name":"Bea","city":"Basel"}
trees: people, people by city
dropped: true
people: 3 index: 0
*/
