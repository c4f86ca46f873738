/** The few expectations the backend suite needs, without a test framework: each throws a plain error in words. */

/** Stops the case when a statement is false. */
export function expect(statement: boolean, message: string): asserts statement {
  if (!statement) throw new Error(message);
}

/** Stops the case unless two arrays hold the same bytes. */
export function expectBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  expect(actual.length === expected.length, `${what}: ${actual.length} bytes instead of ${expected.length}`);
  const at = actual.findIndex((byte, index) => byte !== expected[index]);
  expect(at === -1, `${what}: byte ${at} is ${actual[at]} instead of ${expected[at]}`);
}

/** Stops the case unless the work fails with an error of one of these codes; answers the error. */
export async function expectError(
  codes: readonly string[],
  what: string,
  work: () => unknown,
): Promise<unknown> {
  let found: unknown;
  try {
    await work();
  } catch (error) {
    found = error;
  }
  expect(found !== undefined, `${what}: no error instead of ${codes.join(' or ')}`);
  const { code } = found as { code?: unknown };
  const isOurs = (found as { name?: unknown }).name === 'AegisError';
  expect(
    isOurs && codes.includes(String(code)),
    `${what}: ${String(found)} instead of ${codes.join(' or ')}`,
  );
  return found;
}
