// The smoke test on Node, Deno and Bun: one line of what was done, exit status 0 only if all of it was.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as aegis from '../../build/index.js';
import { smoke } from './smoke.mjs';

const directory = mkdtempSync(join(tmpdir(), 'aegis-smoke-'));
try {
  console.log((await smoke(aegis, join(directory, 'store'))).join('; '));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
