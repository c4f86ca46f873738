/* The contract, asked by the hostile caller (test/support/hostile-caller.ts). */
import '../support/hostile-caller.ts';
import '../contract/blocks.test.ts';
import '../contract/guarantees.test.ts';
import '../contract/keys-and-values.test.ts';
import '../txn/ranges.test.ts';
import '../txn/savepoints.test.ts';
import '../txn/savepoints-commit.test.ts';
import '../trees/trees.test.ts';
import { afterAll, expect } from 'vitest';
import { tally } from '../support/hostile-caller.ts';

afterAll(() => {
  for (const times of Object.values(tally)) expect(times).toBeGreaterThan(100);
});
