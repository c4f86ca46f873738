/**
 * The constants that this code and the module must agree on, for the comparison when an instance starts. Browsers have
 * `constants.browser.ts` in place of this.
 */
import * as layout from '../../assembly/layout.ts';

/** Names and values. */
export const CONSTANTS: readonly (readonly [name: string, value: unknown])[] = Object.entries(layout);
