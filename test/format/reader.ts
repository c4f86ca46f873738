/*
 * Reads the files of a store with nothing but the tables of docs/format.md and what the text between them says: the
 * default tree as the checkpoint left it, and the commits that the log holds after it. It refuses whatever the document
 * does not allow, and it has to find every field of every structure.
 */
import * as layout from '../../assembly/layout.ts';
import { frameContentSize, loadZstd } from '../../src/codec/zstd.ts';
import { fastXxh64 } from '../damage/fast-xxh64.ts';
import type { Files } from '../support/files.ts';
import { decodeSlowly } from '../support/lz4-reference.ts';
import { bigIn, bytesOf, type Fields, numberIn, type Structure } from './document.ts';

/** One operation of a commit; a value in pieces is put together. */
export interface Operation {
  readonly tree: number;
  readonly key: Uint8Array;
  /** Absent: the key was removed. */
  readonly value: Uint8Array | undefined;
  /** Present: the key is the name of a tree that begins or ends. */
  readonly makes?: 'makes' | 'drops';
}

export interface Commit {
  readonly sequence: number;
  readonly operations: readonly Operation[];
}

export type Entries = [key: Uint8Array, value: Uint8Array][];

interface Place {
  readonly start: number;
  readonly sectors: number;
  readonly kind: number;
  readonly sum: bigint;
}

const zstd = await loadZstd();

const CHAINED = 1 << 30;
const ABSENT = new Uint8Array(16);

export class FormatReader {
  readonly #files: Files;
  readonly #structures: ReadonlyMap<string, Structure>;
  readonly superblock: Fields;
  readonly #pages = new Map<number, Place>();
  /** Kinds of pages and records met, and codecs: whether the store was one that shows all there is. */
  readonly met = new Set<string>();

  constructor(structures: ReadonlyMap<string, Structure>, files: Files) {
    this.#structures = structures;
    this.#files = files;
    const slots = [0, 4096].map((at) => this.#slot(this.#file('data').subarray(at, at + layout.SECTOR_SIZE)));
    this.superblock = slots[0]!;
    must(
      Buffer.compare(this.superblock.get('checksum')!, slots[1]!.get('checksum')!) === 0,
      'both slots hold the same checkpoint',
    );
    this.#readDirectory();
  }

  #structure(heading: string): Structure {
    const structure = this.#structures.get(heading);
    if (structure === undefined) throw new Error(`there is no byte table under ${heading}`);
    return structure;
  }

  #file(name: string): Uint8Array {
    const bytes = this.#files.get(name);
    if (bytes === undefined) throw new Error(`there is no file ${name}`);
    return bytes;
  }

  /** Checks what says whose a structure is: the text in the magic's row, the version, the store id. */
  #checkHeader(structure: Structure, fields: Fields): void {
    const magic = /`(\w+)`/.exec(structure.meaning('magic'))?.[1];
    must(
      Buffer.from(fields.get('magic')!).toString('latin1') === magic,
      `${structure.heading} begins with ${magic}`,
    );
    const version = fields.get('version');
    if (version)
      must(numberIn(version) === layout.FORMAT_VERSION, `${structure.heading} has the version of the format`);
    const own = this.superblock?.get('store id') ?? fields.get('store id');
    must(
      bigIn(fields.get('store id')) === bigIn(own) && bigIn(own) !== 0n,
      `${structure.heading} carries the store id`,
    );
  }

  #slot(bytes: Uint8Array): Fields {
    const structure = this.#structure('Superblock');
    const { fields, end } = structure.cut(bytes);
    must(end === layout.SECTOR_SIZE, 'a superblock fills a sector');
    this.#checkHeader(structure, fields);
    const sum = fastXxh64(bytes.subarray(0, structure.offset('checksum')), 0n);
    must(sum === bigIn(fields.get('checksum')), 'a superblock has its checksum');
    return fields;
  }

  number(field: string): number {
    return numberIn(this.superblock.get(field));
  }

  // --- blocks -----------------------------------------------------------------------------------------------------

  #place(bytes: Uint8Array, at = 0): Place {
    const { fields, end } = this.#structure('Directory entry').cut(bytes, at);
    must(end === at + 16, 'a directory entry has 16 bytes');
    const [start, sectors, kind] = ['start', 'sectors', 'kind'].map((field) => numberIn(fields.get(field)));
    return { start: start!, sectors: sectors!, kind: kind!, sum: bigIn(fields.get('checksum')) };
  }

  /** The payload of a block, taken out of its codec. */
  #block({ start, sectors, sum }: Place, kind: number, number: number, level: number): Uint8Array {
    const structure = this.#structure('Block');
    const from = start * layout.SECTOR_SIZE;
    const bytes = this.#file('data').subarray(from, from + sectors * layout.SECTOR_SIZE);
    const { fields, end } = structure.cut(bytes, 0, (known) => numberIn(known.get('stored size')));
    this.#checkHeader(structure, fields);
    must(end > bytes.length - layout.SECTOR_SIZE && end <= bytes.length, 'a block fills its extent');
    must(
      bytes.subarray(end).every((byte) => byte === 0),
      'a block is padded with zeros',
    );
    for (const [field, value] of Object.entries({ kind, number, level })) {
      must(numberIn(fields.get(field)) === value, `${field} is what the reference says`);
    }
    const payload = fields.get('payload')!;
    const own = fastXxh64(payload, fastXxh64(bytes.subarray(0, structure.offset('checksum')), 0n));
    must(own === bigIn(fields.get('checksum')) && own === sum, 'a block has the checksum of its entry');
    const epoch = numberIn(fields.get('epoch'));
    if (kind === layout.BLOCK_CHUNK) must(epoch === 0, 'a chunk has no epoch');
    else
      must(epoch > 0 && epoch <= this.number('epoch'), "a page is not newer than the checkpoint's snapshot");
    const codec = numberIn(fields.get('codec'));
    const raw = numberIn(fields.get('raw size'));
    this.met.add(`codec ${codec}`);
    if (codec === layout.CODEC_NONE) {
      must(raw === payload.length, 'what is not compressed lies in its own size');
      return payload;
    }
    must(payload.length < raw, 'a compressed payload is shorter');
    if (codec === layout.CODEC_ZSTD) {
      must(kind === layout.BLOCK_PAGE && frameContentSize(payload) === raw, 'a zstd frame says its size');
      const content = new Uint8Array(raw);
      return zstd.decompress(payload, content) === raw ? content : refuse('a zstd frame decodes');
    }
    must(codec === layout.CODEC_LZ4, 'a codec is one of those known');
    const content = decodeSlowly(payload, raw);
    return content?.bytes ?? refuse('a compressed payload is an LZ4 block');
  }

  #readDirectory(): void {
    const pageSize = this.number('page size');
    const fanout = pageSize / 16;
    const counts = [this.number('chunks')];
    while (counts.at(-1)! > 1) counts.push(Math.ceil(counts.at(-1)! / fanout));
    let places = [this.#place(this.superblock.get('directory')!)];
    for (let level = counts.length - 1; level >= 0; level--) {
      const below: Place[] = [];
      for (const [index, place] of places.slice(0, counts[level]).entries()) {
        must(level === counts.length - 1 || place.kind === layout.BLOCK_CHUNK, 'a chunk is named as one');
        this.met.add(`chunk ${level}`);
        const chunk = this.#block(place, layout.BLOCK_CHUNK, index, level);
        must(chunk.length === pageSize, 'a chunk has as many entries as fit a page');
        for (let i = 0; i < fanout; i++) {
          const entry = chunk.subarray(i * 16, i * 16 + 16);
          const found = Buffer.compare(entry, ABSENT) === 0 ? undefined : this.#place(entry);
          if (level > 0) below[index * fanout + i] = found ?? this.#place(ABSENT);
          else if (found !== undefined) {
            must(found.kind === layout.BLOCK_PAGE, 'a page is named as one');
            this.#pages.set(index * fanout + i, found);
          }
        }
      }
      places = below;
    }
    const highest = Math.max(...[...this.#pages.values()].map(({ start, sectors }) => start + sectors));
    must(highest <= this.number('end sector'), 'no block lies behind the end sector');
    must(Math.max(...this.#pages.keys()) < this.number('next page'), 'no page number is above the next one');
  }

  // --- trees ------------------------------------------------------------------------------------------------------

  #page(number: number): Uint8Array {
    const place = this.#pages.get(number) ?? refuse(`page ${number} is in the directory`);
    return this.#block(place, layout.BLOCK_PAGE, number, 0);
  }

  /** All records of the tree with that root, in order. */
  entries(root = this.number('main root')): Entries {
    const found: Entries = [];
    this.#walk(root, undefined, found);
    for (const [index, [key]] of found.entries()) {
      must(index === 0 || Buffer.compare(found[index - 1]![0], key) < 0, 'keys are in order');
    }
    return found;
  }

  /** Names, ids and roots of the named trees. */
  trees(): Map<string, { id: number; root: number }> {
    const catalog = this.number('catalog root');
    const records = catalog === 0 ? [] : this.entries(catalog);
    return new Map(
      records.map(([key, value]) => {
        const { fields, end } = this.#structure('Catalog value').cut(value);
        must(end === value.length, 'a record of the catalog has the size of its table');
        must(key.length <= layout.NAME_SIZE_MAX, 'a name is not too long');
        const [id, root] = ['id', 'root'].map((field) => numberIn(fields.get(field)));
        must(id! > 1 && id! < this.number('next tree'), 'the id of a tree was given out');
        return [Buffer.from(key).toString('latin1'), { id: id!, root: root! }];
      }),
    );
  }

  /** A block that was written to the store, cut into its fields. */
  userBlock(id: number): Fields {
    const tree = this.trees().get('\xffblocks') ?? refuse('there is a tree of blocks');
    const key = bytesOf(BigInt(id), 8).reverse();
    const found = this.entries(tree.root).find(([known]) => Buffer.compare(known, key) === 0);
    const [, bytes] = found ?? refuse(`block ${id} has its id for a key`);
    const structure = this.#structure('User block');
    const { fields, end } = structure.cut(bytes);
    must(end === bytes.length && id < this.number('next block'), 'a block has the size that it says');
    const head = fastXxh64(bytes.subarray(0, structure.offset('checksum')), 0n);
    must(
      fastXxh64(fields.get('payload')!, head) === bigIn(fields.get('checksum')),
      'a block has its checksum',
    );
    return fields;
  }

  #walk(number: number, expected: number | undefined, found: Entries): void {
    const page = this.#structure('Tree page').cut(this.#page(number)).fields;
    const [kind, level, count] = ['kind', 'level', 'count'].map((field) => numberIn(page.get(field)));
    const isLeaf = kind === layout.PAGE_LEAF;
    must(isLeaf || kind === layout.PAGE_INNER, 'a page of a tree is a leaf or an inner page');
    must(level === (expected ?? level) && (level === 0) === isLeaf, 'a page has the level below its parent');
    this.met.add(`page ${kind}`);
    const records = page.get('records')!;
    const structure = this.#structure(isLeaf ? 'Leaf record' : 'Inner record');
    let at = 0;
    for (let left = count!; left > 0; left--) {
      const { fields, end } = structure.cut(records, at, (known) => storedLength(known));
      at = end;
      const key = fields.get('key')!;
      must(key.length <= this.number('page size') / layout.KEY_SIZE_DIVISOR, 'a key is not too long');
      if (isLeaf) found.push([key, this.#value(fields)]);
      else this.#walk(numberIn(fields.get('child')), level! - 1, found);
    }
    must(at === records.length, 'records fill a page');
  }

  #value(record: Fields): Uint8Array {
    const word = numberIn(record.get('value word'));
    const value = record.get('value')!;
    if ((word & CHAINED) === 0) return value;
    const parts: Uint8Array[] = [];
    let left = word & ~CHAINED;
    for (let page = numberIn(value); page !== 0; ) {
      const { fields, end } = this.#structure('Overflow page').cut(this.#page(page));
      must(numberIn(fields.get('kind')) === layout.PAGE_OVERFLOW, 'a long value lies in overflow pages');
      must(end === 16 + numberIn(fields.get('used')), 'an overflow page says how much of it is used');
      must(
        numberIn(fields.get('remaining')) === left,
        'an overflow page says how much of the value is to come',
      );
      this.met.add(`page ${layout.PAGE_OVERFLOW}`);
      parts.push(fields.get('bytes')!);
      left -= numberIn(fields.get('used'));
      page = numberIn(fields.get('next'));
    }
    must(left === 0, 'a long value is whole');
    return Buffer.concat(parts);
  }

  // --- log --------------------------------------------------------------------------------------------------------

  /** The commits behind the checkpoint, in their order. */
  commits(): Commit[] {
    const commits: { sequence: number; operations: Operation[] }[] = [];
    let pieces: { left: number; parts: Uint8Array[]; operation: Operation } | undefined;
    for (const part of this.#parts()) {
      const flags = numberIn(part.get('flags'));
      const sequence = numberIn(part.get('sequence'));
      if (flags & layout.PART_FIRST) commits.push({ sequence, operations: [] });
      const commit = commits.at(-1)!;
      must(commit.sequence === sequence, 'the parts of a commit have its sequence');
      const records = part.get('records')!;
      let at = 0;
      for (let left = numberIn(part.get('count')); left > 0; left--) {
        const { fields, end } = this.#structure('Log record').cut(records, at, recordValueLength);
        at = Math.ceil(end / 4) * 4;
        must(
          records.subarray(end, at).every((byte) => byte === 0),
          'a record is padded with zeros',
        );
        const kind = numberIn(fields.get('kind'));
        this.met.add(`record ${kind}`);
        const [key, tree] = [fields.get('key')!, numberIn(fields.get('tree'))];
        const value = fields.get('value')!;
        if (kind === layout.RECORD_VALUE) {
          pieces!.parts.push(value);
          pieces!.left -= value.length;
          if (pieces!.left > 0) continue;
          commit.operations.push({ ...pieces!.operation, value: Buffer.concat(pieces!.parts) });
          pieces = undefined;
        } else if (kind === layout.RECORD_PUT_LONG) {
          const operation = { tree, key, value: undefined };
          pieces = { left: numberIn(fields.get('value length')), parts: [], operation };
        } else {
          const makes =
            kind === layout.RECORD_TREE ? 'makes' : kind === layout.RECORD_DROP ? 'drops' : undefined;
          const content = kind === layout.RECORD_PUT ? value : undefined;
          commit.operations.push({ tree, key, value: content, ...(makes && { makes }) });
        }
      }
      must(records.length - at < 8, 'records fill a part');
      must(pieces === undefined || (flags & layout.PART_LAST) === 0, 'a commit ends with its values whole');
    }
    return commits;
  }

  *#parts(): Iterable<Fields> {
    for (const payload of this.#groups()) {
      for (let at = 0; at < payload.length; ) {
        const { fields, end } = this.#structure('Log part').cut(payload, at);
        yield fields;
        at = Math.ceil(end / 8) * 8;
      }
    }
  }

  /** Payloads of the groups that count, along the chain of links. */
  *#groups(): Iterable<Uint8Array> {
    const segments = [...this.#files.keys()]
      .filter((name) => name.startsWith('log-'))
      .map((name) => this.#segment(name));
    must(
      segments.reduce((sum, { bytes }) => sum + bytes.length, 0) >= this.number('log size'),
      'the files of the log are as long as the superblock says',
    );
    let lsn = this.number('LSN');
    let link = bigIn(this.superblock.get('link'));
    for (;;) {
      const places = segments.flatMap(({ bytes, firstLsn, fence }) => {
        if (firstLsn === lsn)
          return [{ bytes, fence, at: layout.SEGMENT_HEADER_SIZE, place: lsn + layout.SEGMENT_HEADER_SIZE }];
        const at = lsn - firstLsn;
        return at >= layout.SEGMENT_HEADER_SIZE && at < bytes.length
          ? [{ bytes, fence, at, place: lsn }]
          : [];
      });
      const found = places.map((place) => this.#group(place, link)).find((group) => group !== undefined);
      if (found === undefined) return;
      yield found.payload;
      ({ link, end: lsn } = found);
    }
  }

  #segment(name: string): { bytes: Uint8Array; firstLsn: number; fence: number } {
    const structure = this.#structure('Log segment');
    const bytes = this.#file(name);
    const { fields, end } = structure.cut(bytes);
    must(end === layout.SEGMENT_HEADER_SIZE, 'the header of a segment has its size');
    this.#checkHeader(structure, fields);
    must(numberIn(fields.get('size')) <= bytes.length, 'a segment is filled to its size');
    const sum = fastXxh64(bytes.subarray(0, structure.offset('checksum')), 0n);
    must(sum === bigIn(fields.get('checksum')), 'the header of a segment has its checksum');
    return { bytes, firstLsn: numberIn(fields.get('first LSN')), fence: numberIn(fields.get('fence')) };
  }

  #group(
    { bytes, at, place, fence }: { bytes: Uint8Array; at: number; place: number; fence: number },
    link: bigint,
  ): { payload: Uint8Array; link: bigint; end: number } | undefined {
    const structure = this.#structure('Log group');
    const offset = structure.offset('checksum');
    const sum = fastXxh64(bytes.subarray(at, at + offset), 0n);
    const { fields, end } = structure.cut(bytes, at, (known) => numberIn(known.get('length')));
    // The place where the log ends holds something else: zeros, or what an earlier use of the file left.
    if (sum !== bigIn(fields.get('checksum')) || numberIn(fields.get('LSN')) !== place) return undefined;
    if (bigIn(fields.get('link')) !== link || numberIn(fields.get('fence')) < fence) return undefined;
    this.#checkHeader(structure, fields);
    must(numberIn(fields.get('mark')) <= place, 'a mark is not above its group');
    const payload = fields.get('payload')!;
    must(fastXxh64(payload, 0n) === bigIn(fields.get('payload checksum')), 'a group has its payload');
    const next = place + Math.ceil((end - at) / layout.SECTOR_SIZE) * layout.SECTOR_SIZE;
    return { payload, link: sum, end: next };
  }
}

/** Bytes of a leaf record's value where it lies. */
function storedLength(record: Fields): number {
  const word = numberIn(record.get('value word'));
  must(word < 2 ** 31, 'bit 31 of a value word is zero');
  return word & CHAINED ? 4 : word;
}

function recordValueLength(record: Fields): number {
  const kind = numberIn(record.get('kind'));
  return kind === layout.RECORD_PUT || kind === layout.RECORD_VALUE
    ? numberIn(record.get('value length'))
    : 0;
}

function refuse(rule: string): never {
  throw new Error(`docs/format.md says otherwise: ${rule}`);
}

function must(holds: boolean, rule: string): void {
  if (!holds) refuse(rule);
}
