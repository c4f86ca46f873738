/** Test files that may have more than 400 lines, and why: each is one thing, and would be harder to read in two files. */
export const LONG_FILES: Readonly<Record<string, string>> = {
  'test/format/reader.ts': 'a reader of whole stores, written from the document alone',
  'test/isolation/random-history.ts': 'the player of one random history',
  'test/maintenance/verify-damage.test.ts': 'one table of kinds of damage',
  'test/model/trees-and-blocks.test.ts': 'one test with its model',
  'test/simulation/program.ts': 'the program that the power cuts interrupt',
  'test/support/model-run.ts': 'the moves of one model',
};
