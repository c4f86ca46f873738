/* The concurrent explorer, the first half of its programs. */
import { exploring } from './exploring.ts';

exploring(0, 'test/simulation/explorer.test.ts');
