/* Simulated power cuts in the lives of programs that are special: beside power-cuts.test.ts, on a core of their own. */
import { cutProfiles } from './cut-profiles.ts';

cutProfiles('simulated power cuts, special programs', 'test/simulation/power-cuts-programs.test.ts', {
  blocking: 'breaks a promise to a program that never yields',
  modes: 'breaks a promise with the log on and off, and commits that are not synced at once',
  'failed-sync': 'breaks a promise when syncs failed and lied before it',
  large: 'breaks a promise about commits of many groups',
});
