/* Values go into what the web platform offers, without a copy and without a cast. */
import { Block, type Entry, type StorageEngine } from 'aegis-storage';

export async function hand(engine: StorageEngine, [key, of]: Entry): Promise<unknown[]> {
  const value = engine.get('key');
  if (value === undefined) return [];
  const many = engine.getMany(['a', 'b']).filter((one) => one !== undefined) as (typeof value)[];
  const digest = await crypto.subtle.digest('SHA-256', value);
  const blob = new Blob([value, key, of, ...many]);
  const kept = [...engine.scan().keys(), ...engine.snapshot().scan().values()];
  const tx = engine.beginTransaction();
  const read = tx.get('key') ?? value;
  return [
    digest,
    blob,
    new Response(value),
    new Response(read),
    new Blob(kept),
    new Blob([new Block(value).data, new Block(value).serialize()]),
    new Request('https://example.org', { method: 'PUT', body: value }),
  ];
}
