/**
 * A line of the shell as words. Blanks separate them; quotes, single or double, keep them together; a backslash takes
 * the letter behind it as it is, but for single quotes, inside which everything is itself.
 */
import { UsageError } from '../exit.ts';

/** The words of a line. @throws UsageError when a quote is not closed */
export function wordsOf(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let at = 0; at < line.length; ++at) {
    const letter = line[at] as string;
    if (quote !== '' && letter === quote) quote = '';
    else if (letter === '\\' && quote !== "'" && at + 1 < line.length) word = (word ?? '') + line[++at];
    else if (quote !== '') word = (word ?? '') + letter;
    else if (letter === '"' || letter === "'") {
      quote = letter;
      word ??= '';
    } else if (!/\s/.test(letter)) word = (word ?? '') + letter;
    else if (word !== undefined) {
      words.push(word);
      word = undefined;
    }
  }
  if (quote !== '') throw new UsageError(`a quote is not closed: ${quote}`);
  if (word !== undefined) words.push(word);
  return words;
}
