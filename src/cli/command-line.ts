/**
 * A command line as somebody would type it: what a command was called with, for a shell to take again.
 */
import type { Command } from 'commander';

const SAFE = /^[\w@%+=:,./-]+$/;
const CONTROL = /\p{Cc}/u;

/** A word in the quotes of a POSIX shell (in those of bash and zsh if it has control characters), where it needs them. */
export function shellWord(word: string): string {
  if (SAFE.test(word)) return word;
  if (!CONTROL.test(word)) return `'${word.replaceAll("'", "'\\''")}'`;
  const escaped = word
    .replace(/[\\']/g, '\\$&')
    .replace(/\p{Cc}/gu, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return `$'${escaped}'`;
}

/** The whole line that calls a command as it was called, but for the options named here. */
export function lineAgain(
  command: Command,
  operands: readonly string[],
  changed: Readonly<Record<string, string>>,
): string {
  const isPlain = (operand: string) => operand === '-' || !operand.startsWith('-');
  const words = [
    ...(command.parent ? [command.parent.name(), ...optionsOf(command.parent, changed)] : []),
    command.name(),
    ...(operands.every(isPlain) ? operands : []),
    ...optionsOf(command, changed),
    ...Object.entries(changed).flat(),
    ...(operands.every(isPlain) ? [] : ['--', ...operands]),
  ];
  return words.map(shellWord).join(' ');
}

/** The options that a command was given, as words. */
function optionsOf(command: Command, changed: Readonly<Record<string, string>>): string[] {
  return command.options.flatMap((option) => {
    const name = option.attributeName();
    const flag = option.long ?? option.flags;
    if (flag in changed || command.getOptionValueSource(name) !== 'cli') return [];
    const value: unknown = command.getOptionValue(name);
    return typeof value === 'boolean' ? [flag] : [flag, String(value)];
  });
}
