/**
 * Readers of option values that several commands share. They refuse with commander's own error, which ends as usage.
 */
import { InvalidArgumentError } from 'commander';

/** Reads a whole number within limits. */
export function wholeNumber(
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
): (given: string) => number {
  const allowed =
    most === Number.MAX_SAFE_INTEGER
      ? `a whole number from ${least} on`
      : `a whole number from ${least} to ${most}`;
  return (given) => {
    const number = Number(given);
    if (/^\d+$/.test(given) && number >= least && number <= most) return number;
    throw new InvalidArgumentError(`It must be ${allowed}.`);
  };
}
