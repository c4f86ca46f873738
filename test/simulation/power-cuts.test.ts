/* Simulated power cuts in the lives of programs that do everything. */
import { cutProfiles } from './cut-profiles.ts';

cutProfiles('simulated power cuts', 'test/simulation/power-cuts.test.ts', {
  mixed: 'takes a promised commit, shows half of one or ruins a store',
});
