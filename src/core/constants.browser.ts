/**
 * `constants.ts` for browsers: none. Code and module lie in one bundle, and the build has compared them.
 */

/** Names and values. */
export const CONSTANTS: readonly (readonly [name: string, value: unknown])[] = [];
