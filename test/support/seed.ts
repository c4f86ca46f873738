/** The seed of this test run: every random choice of a test starts from it. */
export const seed = Number(process.env['SEED'] ?? 1);

/** True in `npm run test:long`, where the model and crash tests run their full counts. */
export const long = process.env['AEGIS_LONG'] !== undefined;
