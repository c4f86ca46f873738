/* Isolation under the hostile caller (test/support/hostile-caller.ts). */
import '../support/hostile-caller.ts';
import '../isolation/histories.test.ts';
import { afterAll, expect } from 'vitest';
import { tally } from '../support/hostile-caller.ts';

afterAll(() => {
  for (const times of Object.values(tally)) expect(times).toBeGreaterThan(100);
});
