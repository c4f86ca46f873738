/** Builds the instrumented core before its tests run, and throws away what an earlier run counted. */
import { rmSync } from 'node:fs';
import { folder } from './blocks.ts';
import { buildCounted } from './instrument.ts';

export default async function setup(): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  await buildCounted();
}
