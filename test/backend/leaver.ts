/* A program that takes a lock, says so, and has nothing left to do: holding a lock must not keep it alive. */
import { LocalBackend } from '../../src/backend/local.ts';

await new LocalBackend(process.argv[2]!).lock('exclusive');
process.stdout.write('locked\n');
