/* Stores for tests of the command line: in a folder of their own, filled and read by the library. */
import { join } from 'node:path';
import { StorageEngine } from '../../src/engine/engine.ts';
import { temporaryFolder } from '../support/place.ts';
import { aegis, type Given } from './run.ts';

/** A key or value. */
export type Bytes = string | Uint8Array;

/** A folder, and the command line on the store in it. */
export class Place {
  readonly folder = join(temporaryFolder(), 'store');

  /** Runs a command on the store. */
  readonly run = (words: readonly string[], given?: Given) => aegis(['-d', this.folder, ...words], given);

  /** Opens the store with the library. */
  async open<T>(work: (engine: StorageEngine) => Promise<T> | T): Promise<T> {
    const engine = await StorageEngine.open({
      backend: 'local',
      dataDirectory: this.folder,
      compression: 'lz4',
    });
    try {
      return await work(engine);
    } finally {
      await engine.close();
    }
  }

  /** All records, as text that shows every byte. */
  async records(): Promise<Record<string, string>> {
    const engine = await StorageEngine.open({ backend: 'local', dataDirectory: this.folder, readOnly: true });
    try {
      return Object.fromEntries([...engine.scan()].map(([key, value]) => [latin(key), latin(value)]));
    } finally {
      await engine.close();
    }
  }
}

/** Every byte as the letter of its number. */
export function latin(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

/** A store with these records. */
export async function filled(
  records: Record<string, Bytes> | readonly (readonly [Bytes, Bytes])[],
): Promise<Place> {
  const place = new Place();
  const list: readonly (readonly [Bytes, Bytes])[] = Array.isArray(records)
    ? (records as readonly (readonly [Bytes, Bytes])[])
    : Object.entries(records as Record<string, Bytes>);
  await place.open((engine) => engine.batch(list.map(([key, value]) => ({ type: 'put', key, value }))));
  return place;
}
