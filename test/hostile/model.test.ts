/* The models, beside which the hostile caller works (test/support/hostile-caller.ts). */
import '../support/hostile-caller.ts';
import '../model/engine.test.ts';
import '../model/trees-and-blocks.test.ts';
import { afterAll, expect } from 'vitest';
import { tally } from '../support/hostile-caller.ts';

afterAll(() => {
  for (const times of Object.values(tally)) expect(times).toBeGreaterThan(100);
});
