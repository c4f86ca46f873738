/* Mutants of the door for bytes that come in: what a hostile caller does to its memory reaches what is stored. */
import type { Killer, Mutant } from './mutant.ts';

const WRITER = 'src/txn/writer.ts';

const crashes: Killer = { file: 'hostile/crash.test.ts', test: /hostile caller gave$/ };
const many: Killer = { file: 'hostile/crash.test.ts', test: /many hostile callers/ };

export const doorMutants: readonly Mutant[] = [
  {
    name: 'door: what is kept is not copied',
    file: 'src/base/bytes-in.ts',
    edits: [['return new Uint8Array(bytes);', 'return bytes as OwnBytes;']],
    killer: crashes,
  },
  {
    name: "door: what is kept is copied as the caller's class copies",
    file: 'src/base/bytes-in.ts',
    edits: [['return new Uint8Array(bytes);', 'return bytes.slice() as OwnBytes;']],
    killer: crashes,
  },
  {
    name: 'door: a commit that waits lies in the memory of its caller',
    file: WRITER,
    edits: [['operation.key = ownBytes(operation.key);', '']],
    killer: many,
  },
  {
    name: 'door: all operations of a batch lie where the first one lay',
    file: 'src/txn/batch-list.ts',
    edits: [['isPlain && isPlainObject(operation) ? asTheyLie : ownBytes', 'asTheyLie']],
    killer: crashes,
  },
];
