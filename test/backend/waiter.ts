/* A program that has nothing left to do but wait for a timer of the host. */
import { runtimeHost } from '../../src/backend/host.ts';

runtimeHost.later(600_000, () => process.stdout.write('too late\n'));
process.stdout.write('waiting\n');
