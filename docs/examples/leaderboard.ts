// A leaderboard: points by player, and the same by rank, changed together in one transaction.
import { StorageEngine } from 'aegis-storage';

const engine = await StorageEngine.open();
/** Points in the order of their size: eight digits. */
const rank = (points: number, player: string) => `rank/${String(points).padStart(8, '0')}/${player}`;

async function addPoints(player: string, points: number): Promise<number> {
  return engine.transaction((tx) => {
    const before = Number(tx.getString(`points/${player}`) ?? 0);
    tx.delete(rank(before, player));
    tx.put(`points/${player}`, String(before + points));
    tx.put(rank(before + points, player), '');
    return before + points;
  });
}

// All at once: each conflict is tried again, so no point is lost.
await Promise.all(
  Array.from({ length: 60 }, (_, i) => addPoints(['ada', 'bob', 'cyd'][i % 3] as string, (i % 3) + 1)),
);
await addPoints('bob', 25);

const text = new TextDecoder();
for (const key of engine.scan({ prefix: 'rank/', reverse: true, limit: 2 }).keys()) {
  const [, points, player] = text.decode(key).split('/');
  console.log(player, Number(points));
}
console.log('players:', engine.count({ prefix: 'rank/' }));
await engine.close();

/* Output:
bob 65
cyd 60
players: 3
*/
