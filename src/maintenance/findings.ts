/**
 * What a verification has found wrong: a list with a limit, so that a store in ruins costs no more than one with a
 * few faults; the count goes on behind the limit.
 */
import { isDamage, readAgain } from '../store/beside-damage.ts';

/** Something that is not as it must be. */
export interface VerifyProblem {
  /** What is wrong, for people. */
  readonly message: string;
  /** Page number, when one page is meant. */
  readonly page?: number;
  /** File that holds the damage; absent when it is in memory only. */
  readonly file?: string;
  /** Byte position in that file. */
  readonly offset?: number;
  /** The system's error name, such as `EIO`, when bytes could not be read: what they are is not known then. */
  readonly errno?: string;
}

/** Where a problem is. */
export type Whereabouts = Omit<VerifyProblem, 'message'>;

/** Problems listed; more are only counted. */
const LIST_MAX = 1000;

export class Findings {
  readonly problems: VerifyProblem[] = [];
  /** Problems found, listed or not. */
  count = 0;

  add(message: string, where: Whereabouts = {}): void {
    ++this.count;
    if (this.problems.length < LIST_MAX) this.problems.push({ message, ...where });
  }

  /** Takes in what a read or check has thrown; what is neither damage nor an unreadable file is thrown on. */
  addError(error: unknown): void {
    if (!isDamage(error)) throw error;
    const { page, file, offset, errno } = error;
    this.add(error.message, {
      ...(page === undefined ? {} : { page }),
      ...(file === undefined ? {} : { file }),
      ...(offset === undefined ? {} : { offset }),
      ...(errno === undefined ? {} : { errno }),
    });
  }

  /** Does something, and takes in what it throws. */
  async during(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.addError(error);
    }
  }
}

/** Does work that reads, again when it meets damage; answers what is wrong in the end, if something is. */
export function attempt(work: () => void): VerifyProblem | undefined {
  try {
    readAgain(work);
    return undefined;
  } catch (error) {
    return problemOf(error);
  }
}

/** What is wrong, as an error says; throws what is no damage. */
export function problemOf(error: unknown): VerifyProblem {
  const findings = new Findings();
  findings.addError(error);
  return findings.problems[0] as VerifyProblem;
}
