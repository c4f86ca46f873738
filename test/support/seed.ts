/** The seed of this test run: every random choice of a test starts from it. */
export const seed = Number(process.env['SEED'] ?? 1);

/** True in `npm run test:long`, where the model and crash tests run their long counts. */
export const long = process.env['AEGIS_LONG'] !== undefined;

/** True in `npm run test:full`, and in the long size too. */
const full = long || process.env['AEGIS_FULL'] !== undefined;

/** A count for each size of a run: quick (`npm test`), full (`AEGIS_FULL=1`, `npm run test:full`) and long (`npm run test:long`). */
export function sized<T>(quick: T, fuller: T, longest: T): T {
  return long ? longest : full ? fuller : quick;
}
