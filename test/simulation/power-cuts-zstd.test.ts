/* Simulated power cuts of stores whose codec changes from life to life, zstd among them. */
import { cutProfiles } from './cut-profiles.ts';

cutProfiles('simulated power cuts, zstd', 'test/simulation/power-cuts-zstd.test.ts', {
  zstd: 'of a store that changes its codec takes a promised commit, shows half of one or ruins a store',
});
