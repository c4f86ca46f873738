/*
 * The tables of docs/format.md as data: what they say about bytes, and how bytes are cut with them. Nothing here knows
 * the engine; what a table must agree with is in structures.ts and reader.ts.
 *
 * A byte table has the columns offset, size, field, meaning. A row without an offset lies behind the row above it; a
 * size is a number, the name of a field above, or nothing: up to the end, or as long as the reader finds out.
 */

/** A table of the document, under the heading it stands under. */
export interface Table {
  readonly heading: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** All tables of a markdown text, in its order. */
export function tablesOf(markdown: string): Table[] {
  const tables: { heading: string; columns: string[]; rows: string[][] }[] = [];
  let heading = '';
  let inside = false;
  for (const line of markdown.split('\n')) {
    if (!line.startsWith('|')) {
      inside = false;
      heading = /^#+ (.*)$/.exec(line)?.[1] ?? heading;
      continue;
    }
    const cells = line.slice(1, line.lastIndexOf('|')).split('|');
    const row = cells.map((cell) => cell.trim());
    if (!inside) tables.push({ heading, columns: row, rows: [] });
    else if (!/^-+$/.test(row[0]!)) tables.at(-1)!.rows.push(row);
    inside = true;
  }
  return tables;
}

/** Fields by name. Of those that only fill space nothing is told: they have been seen to be zero. */
export type Fields = ReadonlyMap<string, Uint8Array>;

interface Row {
  readonly offset: number | undefined;
  readonly size: number | string | undefined;
  readonly field: string;
  readonly meaning: string;
}

/** Bytes of a number or of a structure within another. */
const FIELD_SIZES = [1, 2, 3, 4, 8, 16];

/** A structure as its byte table describes it. */
export class Structure {
  readonly heading: string;
  readonly #rows: readonly Row[];

  /** Refuses a table with a gap, an overlap, a size that cannot be, or two fields of one name. */
  constructor({ heading, rows }: Table) {
    this.heading = heading;
    this.#rows = rows.map(([offset, size, field, meaning]) => ({
      offset: offset === '' ? undefined : Number(offset),
      size: size === '' ? undefined : /^\d+$/.test(size!) ? Number(size) : size!,
      field: field!,
      meaning: meaning ?? '',
    }));
    let end: number | undefined = 0;
    for (const [index, { offset, size, field }] of this.#rows.entries()) {
      if (offset !== end) this.#refuse(`${field} is at ${offset}, the row above it ends at ${end}`);
      const above = this.#rows.slice(0, index).map((row) => row.field);
      if (typeof size === 'string' && !above.includes(size))
        this.#refuse(`${size} is no field above ${field}`);
      if (typeof size === 'number' && field !== 'reserved' && !FIELD_SIZES.includes(size)) {
        this.#refuse(`no field has ${size} bytes`);
      }
      if (size === undefined && index < this.#rows.length - 1) this.#refuse(`${field} has no size`);
      if (field !== 'reserved' && above.includes(field)) this.#refuse(`there are two ${field}`);
      end = end === undefined || typeof size !== 'number' ? undefined : end + size;
    }
  }

  #refuse(what: string): never {
    throw new Error(`${this.heading}: ${what}`);
  }

  /** Names of the fields, those left out that only fill space. */
  get fields(): string[] {
    return this.#rows.map(({ field }) => field).filter((field) => field !== 'reserved');
  }

  /** Where a field of a fixed place begins. */
  offset(field: string): number {
    const offset = this.#rows.find((row) => row.field === field)?.offset;
    return offset ?? this.#refuse(`${field} has no fixed place`);
  }

  /** What the table says a field means. */
  meaning(field: string): string {
    return this.#rows.find((row) => row.field === field)?.meaning ?? this.#refuse(`there is no ${field}`);
  }

  /** Bytes of the rows that have a number for a size: the header of what follows. */
  get fixedSize(): number {
    return this.#rows.reduce((sum, { size }) => sum + (typeof size === 'number' ? size : 0), 0);
  }

  /**
   * Cuts the structure that begins at `at`. `rest` answers how long the last field is when the table does not say it;
   * without it that field goes on to the end of the bytes.
   */
  cut(bytes: Uint8Array, at = 0, rest?: (fields: Fields) => number): { fields: Fields; end: number } {
    const fields = new Map<string, Uint8Array>();
    let place = at;
    for (const { size, field } of this.#rows) {
      const length =
        typeof size === 'number'
          ? size
          : typeof size === 'string'
            ? numberIn(fields.get(size))
            : (rest?.(fields) ?? bytes.length - place);
      const value = bytes.subarray(place, place + length);
      if (value.length !== length) this.#refuse(`${field} lies outside its bytes`);
      if (field !== 'reserved') fields.set(field, value);
      else if (value.some((byte) => byte !== 0)) this.#refuse(`reserved bytes at ${place - at} are not zero`);
      place += length;
    }
    return { fields, end: place };
  }
}

/** A little-endian number of any size. */
export function bigIn(bytes: Uint8Array | undefined): bigint {
  if (bytes === undefined) throw new Error('there is no such field');
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

export function numberIn(bytes: Uint8Array | undefined): number {
  return Number(bigIn(bytes));
}

/** The bytes of a number in so many bytes; one that does not fit is cut. */
export function bytesOf(value: bigint, size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, index) => Number((value >> BigInt(8 * index)) & 255n));
}
