/* What the tests of known defects have in common. */
import { onTestFinished } from 'vitest';
import type { AegisErrorCode } from '../../src/base/errors.ts';
import { backendOf, type Files } from '../support/files.ts';
import { openSmall } from '../support/small-store.ts';

export function text(bytes: Uint8Array | undefined): string | undefined {
  return bytes && Buffer.from(bytes).toString();
}

/** What reading every record of changed files leads to. */
export async function read(files: Files): Promise<'right' | 'wrong' | AegisErrorCode> {
  try {
    const db = await openSmall(backendOf(files), { compression: 'none', readOnly: true });
    onTestFinished(() => db.close());
    let right = 0;
    for (let i = 0; i < 600; i++) if (db.getString(`key ${i}`) === `value ${i} `.repeat(9)) right++;
    return right === 600 && db.count() === 600 ? 'right' : 'wrong';
  } catch (error) {
    return (error as { code: AegisErrorCode }).code;
  }
}
