/**
 * Runs once before the tests: brings both WebAssembly builds up to date with assembly/ and names the seed.
 * AEGIS_NO_BUILD=1 takes the builds as they lie.
 */
import { buildWasm } from '../../esbuild.config.mjs';

export default async function setup(): Promise<void> {
  if (process.env['AEGIS_NO_BUILD'] === undefined) await buildWasm({ onlyStale: true });
  const length = process.env['AEGIS_LONG'] === undefined ? '' : ', long form';
  process.stdout.write(`seed ${process.env['SEED'] ?? '1'}${length} (SEED=… npm test repeats a run)\n`);
}
