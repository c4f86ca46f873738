/**
 * Work on whole stores that few programs ask for. Browsers load this with the first call (`load-work.browser.ts`); so
 * nothing else may import what only this needs.
 */
export { backUp } from '../maintenance/backup.ts';
export { Compactor } from '../maintenance/compact.ts';
export { verifyStore } from '../maintenance/verify.ts';
