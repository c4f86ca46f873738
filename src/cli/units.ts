/**
 * Numbers as people read them: grouped digits, sizes in powers of 1024, rates and times with three digits that count.
 */

/** A whole number with its digits in groups. */
export function count(number: number): string {
  return Math.round(number).toLocaleString('en-US');
}

/** A number with three digits that count; the rest would be noise. */
function rounded(number: number): string {
  if (number >= 1000) return count(Number(number.toPrecision(3)));
  return number.toFixed(number >= 100 ? 0 : number >= 10 ? 1 : 2);
}

/** A size in bytes, in powers of 1024 as in the configuration. */
export function bytes(size: number): string {
  let rest = size;
  for (const unit of ['B', 'KB', 'MB']) {
    if (rest < 1000) return `${unit === 'B' ? String(rest) : rounded(rest)} ${unit}`;
    rest /= 1024;
  }
  return `${rounded(rest)} GB`;
}

/** How many in a second, given how many in so many milliseconds. */
export function rate(amount: number, milliseconds: number): string {
  return rounded((amount / Math.max(milliseconds, 0.001)) * 1000);
}

/** A duration in milliseconds. */
export function time(milliseconds: number): string {
  return milliseconds < 1000 ? `${rounded(milliseconds)} ms` : `${rounded(milliseconds / 1000)} s`;
}

/** A share of a whole. */
export function percent(part: number, whole: number): string {
  const share = whole === 0 ? 0 : (part / whole) * 100;
  // 100.0 % is said of everything only.
  return `${(part < whole ? Math.min(share, 99.9) : share).toFixed(1)} %`;
}
