/* Mutants of the command line: what keeps records whole on their way in. */
import type { Killer, Mutant } from './mutant.ts';

const JSON_TEXT = 'src/cli/load/json-text.ts';

function texts(test: RegExp): Killer {
  return { file: 'cli/texts.test.ts', test };
}

export const cliMutants: readonly Mutant[] = [
  {
    name: 'load: numbers are taken, whatever digits they lose',
    file: JSON_TEXT,
    edits: [['number) && normalized(text) === normalized(String(number))', 'number)']],
    killer: texts(/comes out as another/),
  },
  {
    name: 'load: only whole numbers are looked at',
    file: JSON_TEXT,
    edits: [['text.length <= DIGITS_KEPT && !/[eE]/.test(text)', "text.includes('.') || /[eE]/.test(text)"]],
    killer: texts(/comes out as another/),
  },
  {
    name: 'load: the first field of a name is read',
    file: JSON_TEXT,
    edits: [['if (isIt) field = at;', 'if (isIt && field < 0) field = at;']],
    killer: texts(/comes twice/),
  },
  {
    name: 'load: the lines that a quote takes are not counted',
    file: 'src/cli/load/splitter.ts',
    edits: [['lastLine: this.#line + this.#lines - behind', 'lastLine: this.#line']],
    killer: texts(/first and its last line/),
  },
  {
    name: 'command line: what a terminal obeys is printed',
    file: 'src/cli/exit.ts',
    edits: [['(?!\\t)[\\p{Cc}\\u2028\\u2029]', '(?!\\t)[\\u2028\\u2029]']],
    killer: texts(/terminal obeys/),
  },
  {
    name: 'command line: a line that goes on is not quoted',
    file: 'src/cli/command-line.ts',
    edits: [['if (SAFE.test(word)) return word;', 'if (word !== "") return word;']],
    killer: texts(/quoted where a shell/),
  },
];
