/**
 * Where rows end: pieces of bytes in, whole rows out, each with the line on which it begins. Nothing is decoded here, so
 * no letter of a text ends a row by accident.
 *
 * 1. A row ends with a line feed, alone or after a carriage return, and the last one with the input.
 * 2. In a table with quotes, a line feed within a quoted field ends nothing. A quote opens a field only where the field
 *    begins: a stray one costs its own row, and no row after it.
 */
import { CommandFailure } from '../exit.ts';

/** The bytes of a row, without its end. */
export interface RawRow {
  readonly bytes: Uint8Array;
  /** Line on which it begins, from 1 on. */
  readonly line: number;
  /** Line on which it ends. */
  readonly lastLine: number;
}

/** The longest row, in bytes: a longer one has no room in a string. */
const ROW_SIZE_MAX = 2 ** 29 - 25;

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const QUOTE = 0x22;
const BYTE_ORDER_MARK = Uint8Array.of(0xef, 0xbb, 0xbf);

// Where in a field the scan is.
const FIELD_START = 0;
const PLAIN = 1;
const QUOTED = 2;
/** Behind a quote inside a quoted field: its end, or the first of two. */
const QUOTE_MET = 3;

export class Splitter {
  /** The byte between fields where quotes count; undefined: they do not. */
  readonly #delimiter: number | undefined;
  #state = FIELD_START;
  /** Pieces of the row that has not ended yet. */
  #parts: Uint8Array[] = [];
  #size = 0;
  /** Line on which it begins, and how many lines have ended in it. */
  #line = 1;
  #lines = 0;

  constructor(delimiter?: string) {
    this.#delimiter = delimiter?.charCodeAt(0);
  }

  /** The rows that end in a piece. */
  take(piece: Uint8Array): RawRow[] {
    const rows: RawRow[] = [];
    let from = 0;
    for (let to = this.#endFrom(piece, 0); to >= 0; to = this.#endFrom(piece, from)) {
      this.#add(piece.subarray(from, to));
      this.#finish(rows);
      from = to + 1;
    }
    this.#add(piece.subarray(from));
    return rows;
  }

  /** The row that ends with the input, if there is one. */
  end(): RawRow[] {
    const rows: RawRow[] = [];
    if (this.#size > 0) this.#finish(rows);
    return rows;
  }

  #endFrom(piece: Uint8Array, from: number): number {
    const delimiter = this.#delimiter;
    if (delimiter === undefined) return piece.indexOf(LINE_FEED, from);
    let state = this.#state;
    for (let at = from; at < piece.length; ++at) {
      const byte = piece[at];
      if (byte === LINE_FEED) {
        if (state !== QUOTED) {
          this.#state = FIELD_START;
          return at;
        }
        ++this.#lines;
      } else if (state === QUOTED) {
        if (byte === QUOTE) state = QUOTE_MET;
      } else if (byte === QUOTE) {
        // A second quote takes the end back; one within plain text is nothing special.
        if (state !== PLAIN) state = QUOTED;
      } else {
        state = byte === delimiter ? FIELD_START : PLAIN;
      }
    }
    this.#state = state;
    return -1;
  }

  #add(part: Uint8Array): void {
    if (part.length === 0) return;
    this.#size += part.length;
    if (this.#size > ROW_SIZE_MAX) {
      const message = `line ${this.#line}: the row that begins here has more than ${ROW_SIZE_MAX} bytes`;
      throw new CommandFailure(message, 'TOO_LARGE');
    }
    this.#parts.push(part);
  }

  #finish(rows: RawRow[]): void {
    const parts = this.#parts;
    let bytes = parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
    if (this.#line === 1 && Buffer.compare(bytes.subarray(0, 3), BYTE_ORDER_MARK) === 0)
      bytes = bytes.subarray(3);
    if (bytes.at(-1) === CARRIAGE_RETURN) bytes = bytes.subarray(0, -1);
    // What ends within quotes ends with the input, and no line begins behind its last line feed.
    const behind = bytes.at(-1) === LINE_FEED ? 1 : 0;
    rows.push({ bytes, line: this.#line, lastLine: this.#line + this.#lines - behind });
    this.#line += 1 + this.#lines;
    this.#lines = 0;
    this.#parts = [];
    this.#size = 0;
    this.#state = FIELD_START;
  }
}
