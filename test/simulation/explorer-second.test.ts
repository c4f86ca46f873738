/* The concurrent explorer, the second half of its programs: on a core of its own. */
import { exploring } from './exploring.ts';

exploring(1, 'test/simulation/explorer-second.test.ts');
