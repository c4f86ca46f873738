/* Simulated power cuts of stores that are compacted again and again, while commits and snapshots go on. */
import { cutProfiles } from './cut-profiles.ts';

cutProfiles('simulated power cuts, compaction', 'test/simulation/power-cuts-compaction.test.ts', {
  compaction: 'in the middle of a compaction takes a promised commit, shows half of one or ruins a store',
});
