/**
 * The text of a field of a JSON object. What was read of it is not enough: its numbers have lost digits by then, its
 * objects the order of their keys, and to write it again takes a call for each level.
 *
 * 1. The text has been read by JSON.parse: it is one sound object. Nothing is checked here but numbers.
 * 2. Nothing calls itself: however deep the levels, the stack stays as it is.
 * 3. Outside of strings blanks go; everything else stays as it was written.
 * 4. A number stays if the runtime's own number means the same to its last digit; else it is refused, never rounded.
 */

const QUOTE = '"';
const BLANKS = /[ \t\r\n]*/y;
/** A number, a word, or one of the signs between them. */
const TOKEN = /-?\d[\d.eE+-]*|[a-z]+|[[\]{}:,]/y;
const NUMBER = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;
/** So many digits the runtime's numbers always keep. */
const DIGITS_KEPT = 15;

/** The text of a field; of the last of its name, which is the one that JSON.parse takes. @throws RangeError for a number that loses digits */
export function fieldText(object: string, name: string): string {
  let field = -1;
  let at = behind(BLANKS, object, 0) + 1;
  for (;;) {
    at = behind(BLANKS, object, at);
    if (object[at] !== QUOTE) break;
    const end = stringEnd(object, at);
    const isIt = JSON.parse(object.slice(at, end)) === name;
    at = behind(BLANKS, object, end) + 1;
    if (isIt) field = at;
    at = valueEnd(object, at);
    if (object[at] === ',') ++at;
  }
  const parts: string[] = [];
  valueEnd(object, field, (token) => parts.push(token));
  return parts.join('');
}

/** The end of a value with the blanks on both sides of it; its parts go to `take`. */
function valueEnd(text: string, from: number, take?: (token: string) => void): number {
  let depth = 0;
  let at = behind(BLANKS, text, from);
  do {
    const begin = at;
    at = text[at] === QUOTE ? stringEnd(text, at) : behind(TOKEN, text, at);
    const sign = text[begin];
    if (sign === '[' || sign === '{') ++depth;
    else if (sign === ']' || sign === '}') --depth;
    take?.(checked(text.slice(begin, at)));
    at = behind(BLANKS, text, at);
  } while (depth > 0);
  return at;
}

function checked(token: string): string {
  if (!/^[\d-]/.test(token) || isExact(token)) return token;
  const shown = token.length > 40 ? `${token.slice(0, 40)}…` : token;
  throw new RangeError(`the number ${shown} loses digits here; write it as text`);
}

/** Whether the runtime's number for a text means the same, to the last digit. */
function isExact(text: string): boolean {
  if (text.length <= DIGITS_KEPT && !/[eE]/.test(text)) return true;
  const number = Number(text);
  return Number.isFinite(number) && normalized(text) === normalized(String(number));
}

/** A number as its sign, the digits that count, and the power of ten of the last of them. */
function normalized(number: string): string {
  const [, sign, whole = '', fraction = '', power = '0'] = NUMBER.exec(number) ?? [];
  const digits = whole + fraction;
  let [begin, end] = [0, digits.length];
  while (digits[begin] === '0') ++begin;
  while (end > begin && digits[end - 1] === '0') --end;
  if (begin === end) return '0';
  return `${sign}${digits.slice(begin, end)}e${Number(power) - fraction.length + digits.length - end}`;
}

function behind(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  pattern.test(text);
  return pattern.lastIndex;
}

/** The place behind a string: behind its first quote that no odd number of backslashes precedes. */
function stringEnd(text: string, begin: number): number {
  for (let at = begin + 1; ; ++at) {
    at = text.indexOf(QUOTE, at);
    let before = at;
    while (text[before - 1] === '\\') --before;
    if ((at - before) % 2 === 0) return at + 1;
  }
}
