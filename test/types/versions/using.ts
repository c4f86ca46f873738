/* `using` works, with the library's own Disposable (TypeScript 5.2 and later). */
import { StorageEngine } from 'aegis-storage';

export async function count(): Promise<number> {
  await using engine = await StorageEngine.open();
  using snapshot = engine.snapshot();
  using scan = snapshot.scan();
  return scan.nextMany(3).length;
}
