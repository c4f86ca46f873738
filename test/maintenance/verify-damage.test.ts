/*
 * Damage of every kind, planted so that only what it breaks can give it away: blocks are sealed with checksums that
 * hold and everything above them is made to fit. Opening the store refuses it, or verification lists it. The row
 * says which, and what the problem is called, so that no row is caught by something else than it should be.
 */
import { describe, expect, test } from 'vitest';
import { BLOCK_CHUNK, PAGE_INNER, PAGE_LEAF, PAGE_OVERFLOW, SECTOR_SIZE } from '../../assembly/layout.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { AegisError } from '../../src/base/errors.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { bytesOfNumber, CHAINED, type Node, numberOf, Plant, TOMBSTONE } from '../support/plant.ts';
import { report } from '../support/report.ts';

const PAGE_SIZE = 4096;
const RECORDS = 2200;
const CHAINS = 6;
const stem = 'a stem that all keys share, so that separators are long and the tree is high '.repeat(3);

const options = (backend: MemoryBackend) =>
  ({ backend, pageSize: PAGE_SIZE, compression: 'lz4', bufferPoolSize: '2MB' }) as const;
const keyOf = (i: number) => `${stem}${String(i * 7).padStart(6, '0')}`;

/** A store of three levels and some chains, closed. */
async function makeStore(): Promise<MemoryBackend> {
  const backend = new MemoryBackend();
  const store = await StorageEngine.open(options(backend));
  const order = Array.from({ length: RECORDS }, (_, i) => (i * 709) % RECORDS);
  store.batchSync(order.map((i) => ({ type: 'put', key: keyOf(i), value: `value ${i} `.repeat(4) })));
  for (let i = 0; i < CHAINS; i++) store.putSync(`${keyOf(i * 150)}+`, new Uint8Array(3 * PAGE_SIZE).fill(i));
  await store.close();
  return backend;
}

const sound = await makeStore();

/** The tree as it lies in the file. */
class Sample {
  readonly plant: Plant;
  readonly nodes: Node[];
  readonly chains: ReturnType<Plant['chains']>;
  readonly root: number;

  constructor(plant: Plant) {
    this.plant = plant;
    this.nodes = plant.nodes();
    this.chains = plant.chains();
    this.root = plant.superblock.mainRoot;
  }

  /** Pages of a level that are neither first nor last of their parent, without chains. */
  inside(level: number): Node[] {
    const chained = new Set(this.chains.map(({ leaf }) => leaf));
    return this.nodes.filter((node) => {
      if (node.level !== level || chained.has(node.page)) return false;
      const siblings = this.plant.tree(node.parent).cells.length;
      return node.slot > 0 && node.slot + 1 < siblings;
    });
  }

  leaf(index = 0): Node {
    return this.inside(0)[index]!;
  }

  inner(index = 0): Node {
    return this.inside(1)[index]!;
  }

  /** A leaf below another inner page than `leaf()`. */
  farLeaf(): Node {
    return this.inside(0).find(({ parent }) => parent !== this.leaf().parent)!;
  }

  pageOfChain(chain: number, index: number): number {
    return this.chains[chain]!.pages[index]!;
  }

  change(leaf: Node, change: Parameters<Plant['changeTree']>[1]): void {
    this.plant.changeTree(leaf.page, change);
  }

  redirect(node: Node, child: number): void {
    this.plant.changeTree(node.parent, ({ cells }) => {
      cells[node.slot]!.word = child;
    });
  }

  chainCell(chain: number, change: (cell: { word: number; value: Uint8Array }) => void): void {
    const { leaf, slot } = this.chains[chain]!;
    this.plant.changeTree(leaf, ({ cells }) => change(cells[slot]!));
  }

  redirectChain(chain: number, first: number): void {
    this.chainCell(chain, (cell) => {
      cell.value = bytesOfNumber(first);
    });
  }
}

interface Row {
  kind: string;
  /** What is planted. With `raw` nothing above it is made to fit afterwards. */
  plant: (sample: Sample) => void;
  raw?: boolean;
  /** What one of the problems says, or what opening says. */
  says: RegExp;
  opens?: boolean;
}

const bigger = (key: Uint8Array) => Uint8Array.from([...key.slice(0, stem.length), 255]);

const rows: Row[] = [
  // --- keys -----------------------------------------------------------------------------------------------------
  {
    kind: 'two keys of a leaf in the wrong order',
    plant: (s) => s.change(s.leaf(), ({ cells }) => cells.reverse()),
    says: /out of order/,
  },
  {
    kind: 'a key twice in a leaf',
    plant: (s) => s.change(s.leaf(), ({ cells }) => cells.splice(1, 0, cells[1]!)),
    says: /out of order/,
  },
  {
    kind: 'separators in the wrong order',
    plant: (s) => s.change(s.inner(), ({ cells }) => cells.push(...cells.splice(1, 1))),
    says: /out of order/,
  },
  {
    kind: 'a key below the lower bound of its leaf',
    plant: (s) => s.change(s.leaf(), ({ cells }) => (cells[0]!.key = new Uint8Array([1]))),
    says: /outside the bounds/,
  },
  {
    kind: 'a key above the upper bound of its leaf',
    plant: (s) => s.change(s.leaf(), ({ cells }) => (cells.at(-1)!.key = bigger(cells.at(-1)!.key))),
    says: /outside the bounds/,
  },
  {
    kind: 'a key at the upper bound of its leaf',
    plant: (s) => {
      const leaf = s.leaf();
      const bound = s.plant.tree(leaf.parent).cells[leaf.slot + 1]!.key;
      s.change(leaf, ({ cells }) => (cells.at(-1)!.key = bound));
    },
    says: /outside the bounds/,
  },
  {
    kind: 'a separator at the lower bound of its page',
    plant: (s) => {
      const inner = s.inner();
      const bound = s.plant.tree(inner.parent).cells[inner.slot]!.key;
      const { cells } = s.plant.tree(inner.page);
      s.change(inner, (page) => (page.cells[1]!.key = bound));
      // With keys the first child would be outside its bounds as well.
      s.plant.setTree(cells[0]!.word, { kind: PAGE_LEAF, level: 0, cells: [] });
    },
    says: /outside the bounds/,
  },
  {
    kind: 'a separator above the upper bound of its page',
    plant: (s) => s.change(s.inner(), ({ cells }) => (cells.at(-1)!.key = bigger(cells.at(-1)!.key))),
    says: /outside the bounds/,
  },
  {
    kind: 'a separator that cuts off keys of the leaf before it',
    plant: (s) => {
      const leaf = s.leaf();
      const { cells } = s.plant.tree(leaf.page);
      s.plant.changeTree(leaf.parent, (page) => (page.cells[leaf.slot + 1]!.key = cells.at(-1)!.key));
    },
    says: /outside the bounds/,
  },
  {
    kind: 'an inner page whose first child has a key',
    plant: (s) => s.change(s.inner(), ({ cells }) => (cells[0]!.key = new Uint8Array([1]))),
    says: /out of order/,
  },
  {
    kind: 'an inner page with an empty separator',
    plant: (s) => s.change(s.inner(), ({ cells }) => (cells[1]!.key = new Uint8Array())),
    says: /out of order/,
  },
  {
    kind: 'a key longer than keys may be',
    plant: (s) =>
      s.change(s.leaf(), ({ cells }) => {
        cells.splice(2);
        cells[1]!.key = Uint8Array.from({ length: PAGE_SIZE / 8 + 1 }, (_, i) => cells[0]!.key[i] ?? 255);
      }),
    says: /length or count/,
  },

  // --- references -----------------------------------------------------------------------------------------------
  {
    kind: 'two neighbours swapped below their parent',
    plant: (s) => {
      const [a, b] = [
        s.leaf(),
        s.nodes.find(({ parent, slot }) => parent === s.leaf().parent && slot === s.leaf().slot + 1)!,
      ];
      s.redirect(a, b.page);
      s.redirect(b, a.page);
    },
    says: /outside the bounds/,
  },
  {
    kind: 'a leaf referred to twice by one parent',
    plant: (s) =>
      s.redirect(
        s.leaf(),
        s.nodes.find(({ parent, slot }) => parent === s.leaf().parent && slot === 0)!.page,
      ),
    says: /referred to twice/,
  },
  {
    kind: 'a leaf referred to by two parents',
    plant: (s) => s.redirect(s.leaf(), s.farLeaf().page),
    says: /referred to twice/,
  },
  {
    kind: 'a child that is its own ancestor',
    plant: (s) => s.redirect(s.leaf(), s.root),
    says: /referred to twice/,
  },
  {
    kind: 'a child that is its own parent',
    plant: (s) => s.redirect(s.leaf(), s.leaf().parent),
    says: /referred to twice/,
  },
  {
    kind: 'a leaf that nobody refers to',
    plant: (s) => s.plant.changeTree(s.leaf().parent, ({ cells }) => cells.splice(s.leaf().slot, 1)),
    says: /in use, but nothing refers to it/,
  },
  {
    kind: 'a subtree that nobody refers to',
    plant: (s) => s.plant.changeTree(s.inner().parent, ({ cells }) => cells.splice(s.inner().slot, 1)),
    says: /in use, but nothing refers to it/,
  },
  { kind: 'a child that is not there', plant: (s) => s.plant.forget(s.leaf().page), says: /does not exist/ },
  {
    kind: 'a child number that is free',
    plant: (s) => {
      const free = Array.from({ length: s.plant.superblock.nextPage }, (_, i) => i).find(
        (i) => i > 0 && s.plant.place(i).sectors === 0,
      )!;
      s.redirect(s.leaf(), free);
    },
    says: /does not exist/,
  },
  {
    kind: 'a child number that was never used',
    plant: (s) => s.redirect(s.leaf(), s.plant.superblock.nextPage + 5),
    says: /cannot be referred to/,
  },
  {
    kind: 'a child number of 0',
    plant: (s) => s.redirect(s.leaf(), 0),
    says: /reference to a page that cannot be/,
  },
  {
    kind: "a child number of a transaction's own page",
    plant: (s) => s.redirect(s.leaf(), 0x40000001),
    says: /reference to a page that cannot be/,
  },
  {
    kind: 'an inner page without children',
    plant: (s) => s.change(s.inner(), ({ cells }) => cells.splice(0)),
    says: /length or count/,
  },
  {
    kind: 'a root that lies below another page',
    plant: (s) => {
      s.plant.superblock = { ...s.plant.superblock, mainRoot: s.inner().page };
    },
    says: /in use, but nothing refers to it/,
  },

  // --- kinds and levels -----------------------------------------------------------------------------------------
  {
    kind: 'an inner page of the wrong level',
    plant: (s) => s.change(s.inner(), (page) => (page.level = 5)),
    says: /has level 5, but page \d+ expects 1/,
  },
  {
    kind: 'a leaf in the place of an inner page',
    plant: (s) => s.plant.setTree(s.inner().page, { kind: PAGE_LEAF, level: 0, cells: [] }),
    says: /has level 0, but page \d+ expects 1/,
  },
  {
    kind: 'an inner page in the place of a leaf',
    plant: (s) => {
      s.plant.setTree(s.leaf().page, {
        kind: PAGE_INNER,
        level: 1,
        cells: [{ key: new Uint8Array(), word: s.farLeaf().page, value: new Uint8Array() }],
      });
    },
    says: /has level 1, but page \d+ expects 0/,
  },
  {
    kind: 'a leaf that says it has a level',
    plant: (s) => s.change(s.leaf(), (page) => (page.level = 1)),
    says: /kind or level/,
  },
  {
    kind: 'a level deeper than trees are',
    plant: (s) => s.change(s.inner(), (page) => (page.level = 61)),
    says: /kind or level/,
  },
  {
    kind: 'a page of no known kind',
    plant: (s) => s.change(s.leaf(), (page) => (page.kind = 7)),
    says: /kind or level/,
  },
  {
    kind: 'an overflow page in the tree',
    plant: (s) => s.plant.setOverflow(s.leaf().page, { next: 0, remaining: 3, data: new Uint8Array(3) }),
    says: /overflow page, but/,
  },
  {
    kind: 'a tree page in a chain',
    plant: (s) => s.redirectChain(0, s.leaf().page),
    says: /does not go on with|referred to twice/,
  },

  // --- chains ---------------------------------------------------------------------------------------------------
  {
    kind: 'a chain that ends too soon',
    plant: (s) => s.plant.changeOverflow(s.pageOfChain(0, 1), (page) => (page.next = 0)),
    says: /does not go on with/,
  },
  {
    kind: 'a chain that goes on behind its end',
    plant: (s) =>
      s.plant.changeOverflow(s.chains[0]!.pages.at(-1)!, (page) => (page.next = s.pageOfChain(1, 0))),
    says: /does not go on with/,
  },
  {
    kind: 'a chain that is a circle',
    plant: (s) => s.plant.changeOverflow(s.pageOfChain(0, 1), (page) => (page.next = s.pageOfChain(0, 0))),
    says: /referred to twice/,
  },
  {
    kind: 'two values with one chain',
    plant: (s) => s.redirectChain(0, s.pageOfChain(1, 0)),
    says: /referred to twice/,
  },
  {
    kind: 'a chain that ends in another one',
    plant: (s) => s.plant.changeOverflow(s.pageOfChain(0, 0), (page) => (page.next = s.pageOfChain(1, 1))),
    says: /referred to twice/,
  },
  {
    kind: 'a chain that nobody refers to',
    plant: (s) =>
      s.chainCell(0, (cell) => {
        cell.word = 4;
        cell.value = new Uint8Array(4);
      }),
    says: /in use, but nothing refers to it/,
  },
  {
    kind: 'a value longer than its chain',
    plant: (s) => s.chainCell(0, (cell) => (cell.word += 1)),
    says: /does not go on with/,
  },
  {
    kind: 'a value shorter than its chain',
    plant: (s) => s.chainCell(0, (cell) => (cell.word -= 1)),
    says: /does not go on with/,
  },
  {
    kind: 'a value of no bytes with a chain',
    plant: (s) => s.chainCell(0, (cell) => (cell.word = CHAINED)),
    says: /length or count/,
  },
  {
    kind: 'a chain page without bytes',
    plant: (s) => s.plant.changeOverflow(s.pageOfChain(0, 0), (page) => (page.data = new Uint8Array())),
    says: /does not go on with/,
  },
  {
    kind: 'a chain page with bytes too few',
    plant: (s) => s.plant.changeOverflow(s.pageOfChain(0, 0), (page) => (page.data = page.data.slice(1))),
    says: /does not go on with/,
  },
  {
    kind: 'a chain page that promises too much',
    plant: (s) => s.plant.changeOverflow(s.pageOfChain(0, 1), (page) => (page.remaining += 9)),
    says: /does not go on with/,
  },
  {
    kind: 'a chain page with more bytes than are left',
    plant: (s) => s.plant.changeOverflow(s.pageOfChain(0, 1), (page) => (page.remaining = 1)),
    says: /length or count/,
  },
  {
    kind: 'a chain page that is not there',
    plant: (s) => s.plant.forget(s.pageOfChain(2, 1)),
    says: /does not exist/,
  },
  {
    kind: 'a chain of page 0',
    plant: (s) => s.redirectChain(0, 0),
    says: /reference to a page that cannot be/,
  },

  // --- counts and lengths ---------------------------------------------------------------------------------------
  {
    kind: 'a count above the records of a page',
    plant: (s) => s.plant.setTree(s.leaf().page, s.plant.tree(s.leaf().page), {}, 400),
    says: /length or count/,
  },
  {
    kind: 'a count below the records of a page',
    plant: (s) => s.plant.setTree(s.leaf().page, s.plant.tree(s.leaf().page), {}, 3),
    says: /length or count/,
  },
  {
    kind: 'a value longer than a page can hold',
    plant: (s) => s.change(s.leaf(), ({ cells }) => (cells[0]!.word = 3000)),
    says: /length or count/,
  },
  {
    kind: 'a value of another length than its bytes',
    plant: (s) => s.change(s.leaf(), ({ cells }) => (cells.at(-1)!.word -= 3)),
    says: /length or count/,
  },
  {
    kind: 'a deletion in the store',
    plant: (s) =>
      s.change(s.leaf(), ({ cells }) => {
        cells[0]!.word = TOMBSTONE;
        cells[0]!.value = new Uint8Array();
      }),
    says: /length or count/,
  },
  {
    kind: 'bytes behind the last record',
    plant: (s) =>
      s.plant.setPayload(
        s.leaf().page,
        Uint8Array.from([...s.plant.payload(s.plant.place(s.leaf().page)), 0]),
      ),
    says: /length or count/,
  },
  {
    kind: 'a payload of three bytes',
    plant: (s) => s.plant.setPayload(s.leaf().page, new Uint8Array(3)),
    says: /length or count/,
  },

  // --- blocks ---------------------------------------------------------------------------------------------------
  {
    kind: 'a page from the future',
    plant: (s) => s.plant.changeTree(s.leaf().page, () => undefined, { epoch: 1e9 }),
    says: /of epoch/,
  },
  {
    kind: 'a block of another store',
    plant: (s) => s.plant.changeTree(s.leaf().page, () => undefined, { storeId: [1, 2] }),
    says: /another block/,
  },
  {
    kind: 'a block of another page',
    plant: (s) => s.plant.changeTree(s.leaf().page, () => undefined, { number: s.farLeaf().page }),
    says: /another block/,
  },
  {
    kind: 'a block of another kind',
    plant: (s) => s.plant.changeTree(s.leaf().page, () => undefined, { kind: BLOCK_CHUNK }),
    says: /another block/,
  },
  {
    kind: 'a block of another format',
    plant: (s) => s.plant.changeTree(s.leaf().page, () => undefined, { version: 2 }),
    says: /another block/,
  },
  {
    kind: 'a block without the magic',
    plant: (s) => s.plant.changeTree(s.leaf().page, () => undefined, { magic: 7 }),
    says: /no block begins here/,
  },
  {
    kind: 'a block of an unknown codec',
    plant: (s) => s.plant.changeTree(s.leaf().page, () => undefined, { codec: 9 }),
    says: /codec is unknown/,
  },
  {
    kind: 'compressed bytes that do not decode',
    plant: (s) => s.plant.changeTree(s.leaf().page, () => undefined, { codec: 1, raw: 2000 }),
    says: /do not decode/,
  },
  {
    kind: 'a block that decodes to more than a page',
    plant: (s) => s.plant.changeTree(s.leaf().page, () => undefined, { codec: 1, raw: 5000 }),
    says: /length or count/,
  },
  {
    kind: 'two pages swapped in the directory',
    plant: ({ plant, ...s }) => {
      const [a, b] = s.nodes.filter(({ level }) => level === 0).map(({ page }) => page) as [number, number];
      const place = plant.place(a);
      plant.setPlace(a, plant.place(b));
      plant.setPlace(b, place);
    },
    says: /another block/,
  },
  {
    kind: 'bytes behind a block',
    plant: (s) => {
      const { page } = s.leaf();
      const block = s.plant.seal(s.plant.payload(s.plant.place(page)), { number: page });
      block[block.length - 1] = 1;
      s.plant.setPlace(page, s.plant.append(block));
    },
    says: /holds more than its block/,
  },
  {
    kind: 'an extent longer than its block',
    plant: (s) => {
      const { page } = s.leaf();
      const block = s.plant.seal(s.plant.payload(s.plant.place(page)), { number: page });
      s.plant.setPlace(page, s.plant.append(Uint8Array.from([...block, ...new Uint8Array(SECTOR_SIZE)])));
    },
    says: /holds more than its block/,
  },
  {
    kind: 'an extent longer than a page can be',
    plant: (s) => {
      const { page } = s.leaf();
      const block = s.plant.seal(s.plant.payload(s.plant.place(page)), { number: page });
      s.plant.setPlace(page, s.plant.append(Uint8Array.from([...block, ...new Uint8Array(PAGE_SIZE * 2)])));
    },
    says: /claims an extent that is taken or cannot be/,
    opens: false,
  },
  {
    kind: 'an extent shorter than its block',
    plant: (s) => {
      const page = s.inner().page;
      s.plant.changeTree(page, () => undefined);
      s.plant.setPlace(page, { ...s.plant.place(page), sectors: 1 });
    },
    says: /length or count/,
  },

  // --- the directory and the superblock ---------------------------------------------------------------------------
  {
    kind: 'two pages in one extent',
    plant: (s) => s.plant.setPlace(s.leaf().page, s.plant.place(s.farLeaf().page)),
    says: /claims an extent that is taken/,
    opens: false,
  },
  {
    kind: 'two extents that overlap',
    plant: (s) => {
      const place = s.plant.place(s.root);
      s.plant.setPlace(s.leaf().page, { ...place, start: place.start + place.sectors - 1 });
    },
    says: /claims an extent that is taken/,
    opens: false,
  },
  {
    kind: 'a page in the superblocks',
    plant: (s) => s.plant.setPlace(s.leaf().page, { ...s.plant.place(s.leaf().page), start: 8 }),
    says: /claims an extent that is taken/,
    opens: false,
  },
  {
    kind: 'a page behind the end of the file',
    plant: (s) => s.plant.setPlace(s.leaf().page, { ...s.plant.place(s.leaf().page), start: 1e6 }),
    says: /claims an extent that is taken/,
    opens: false,
  },
  {
    kind: 'a chunk in the place of a page',
    plant: (s) => s.plant.setPlace(s.leaf().page, s.plant.place(s.leaf().page), 2),
    says: /directory entry of page \d+ is impossible/,
    opens: false,
  },
  {
    kind: 'an entry for page 0',
    plant: (s) => s.plant.setPlace(0, s.plant.append(new Uint8Array(SECTOR_SIZE))),
    says: /entry for page 0, which was never used/,
    opens: false,
  },
  {
    kind: 'an entry for a page that was never used',
    plant: (s) => s.plant.setPlace(s.plant.superblock.nextPage, s.plant.append(new Uint8Array(SECTOR_SIZE))),
    says: /entry for page \d+, which was never used/,
    opens: false,
  },
  {
    kind: 'an impossible entry for a page that was never used',
    plant: (s) =>
      s.plant.entries.fill(
        0x07000000,
        s.plant.superblock.nextPage * 4 + 1,
        s.plant.superblock.nextPage * 4 + 2,
      ),
    says: /entry for page \d+, which was never used/,
    opens: false,
  },
  {
    kind: 'more page numbers than the directory has entries',
    plant: (s) => {
      s.plant.superblock = { ...s.plant.superblock, nextPage: 0x3fffffff };
    },
    says: /no whole superblock/,
    opens: false,
  },
  {
    kind: 'page numbers in use above the next new one',
    plant: (s) => {
      const nextPage = s.plant.pages.filter((page) => page % s.plant.fanout > 0).at(-1)!;
      const chunkCount = Math.ceil((nextPage + 1) / s.plant.fanout);
      s.plant.superblock = { ...s.plant.superblock, nextPage, chunkCount };
    },
    says: /entry for page \d+, which was never used/,
    opens: false,
  },
  {
    kind: 'a damaged chunk of the directory',
    raw: true,
    plant: (s) =>
      s.plant.overwrite(s.plant.chunkPlaces(0)[0]!.start * SECTOR_SIZE + 100, new Uint8Array([1, 2, 3])),
    says: /checksum does not hold/,
    opens: false,
  },
  {
    kind: 'a chunk of another place in the directory',
    raw: true,
    plant: (s) => {
      const { plant } = s;
      plant.save();
      const words = new Uint32Array(plant.payload(plant.chunkPlaces(1)[0]!).slice().buffer);
      words.set([...words.slice(4, 8), ...words.slice(0, 4)]);
      const block = plant.seal(new Uint8Array(words.buffer), {
        kind: BLOCK_CHUNK,
        number: 0,
        high: 1,
        epoch: 0,
      });
      const directory = plant.append(block);
      plant.superblock = { ...plant.superblock, directory };
      plant.saveSlots();
    },
    says: /another block/,
    opens: false,
  },
  {
    kind: 'both superblocks damaged',
    raw: true,
    plant: (s) => {
      s.plant.overwrite(300, new Uint8Array([1]));
      s.plant.overwrite(4396, new Uint8Array([1]));
    },
    says: /no whole superblock/,
    opens: false,
  },
  {
    kind: 'a superblock with a root that is not there',
    plant: (s) => {
      const free = Array.from({ length: s.plant.superblock.nextPage }, (_, i) => i).find(
        (i) => i > 0 && s.plant.place(i).sectors === 0,
      )!;
      s.plant.superblock = { ...s.plant.superblock, mainRoot: free };
    },
    says: /does not exist/,
  },

  // --- writes that went astray, checksums whole -------------------------------------------------------------------
  {
    kind: 'an older block of the same page',
    raw: true,
    plant: (s) => {
      const { page } = s.leaf();
      const place = s.plant.place(page);
      const payload = s.plant.payload(place);
      const block = s.plant.seal(payload, { number: page, epoch: 0 });
      s.plant.overwrite(place.start * SECTOR_SIZE, block.subarray(0, place.sectors * SECTOR_SIZE));
    },
    says: /checksum does not hold|older one|length or count/,
  },
  {
    kind: 'a block of the same page from before its split',
    plant: (s) => {
      const leaf = s.leaf();
      const neighbour = s.plant.tree(
        s.nodes.find(({ parent, slot }) => parent === leaf.parent && slot === leaf.slot + 1)!.page,
      );
      s.change(leaf, (page) => {
        page.cells = [...page.cells.slice(6), ...neighbour.cells.slice(0, 2)];
      });
    },
    says: /outside the bounds/,
  },
  {
    kind: 'a page written over with zeros',
    raw: true,
    plant: (s) =>
      s.plant.overwrite(s.plant.place(s.leaf().page).start * SECTOR_SIZE, new Uint8Array(SECTOR_SIZE)),
    says: /no block begins here/,
  },
];

/** Opens and verifies: what the store says, and whether it opened. */
async function outcome(
  backend: MemoryBackend,
  readOnly: boolean,
): Promise<{ messages: string[]; opened: boolean }> {
  let store: StorageEngine;
  try {
    store = await StorageEngine.open({ ...options(backend), readOnly });
  } catch (error) {
    if (!(error instanceof AegisError) || error.code !== 'CORRUPTION') throw error;
    return { messages: [error.message], opened: false };
  }
  const report = await store.verify();
  expect(report.ok).toBe(report.problems.length === 0);
  await store.close();
  return { messages: report.problems.map(({ message }) => message), opened: true };
}

describe('verify', () => {
  test('verify: a store taken apart and put together again is sound', async () => {
    const backend = sound.copy();
    const { plant, nodes, chains } = new Sample(new Plant(backend));
    expect(nodes[0]!.level).toBeGreaterThanOrEqual(2);
    expect(chains.length).toBe(CHAINS);
    expect(plant.chunkPlaces(1).length).toBe(1);
    for (const { page } of nodes) plant.changeTree(page, () => undefined);
    for (const page of chains.flatMap(({ pages }) => pages)) plant.changeOverflow(page, () => undefined);
    plant.save();
    const store = await StorageEngine.open(options(backend));
    expect(await store.verify()).toMatchObject({ ok: true, problems: [], records: RECORDS + CHAINS });
    await store.close();
  });

  test.each(rows)('verify: finds $kind', async (row) => {
    const planted = sound.copy();
    const sample = new Sample(new Plant(planted));
    row.plant(sample);
    if (!row.raw) sample.plant.save();
    for (const readOnly of [true, false]) {
      const { messages, opened } = await outcome(planted.copy(), readOnly);
      expect(messages.join('\n')).toMatch(row.says);
      expect(opened).toBe(row.opens ?? true);
    }
  });

  test('verify: the kinds of damage are fifty and more, and no two are called the same', () => {
    expect(new Set(rows.map(({ kind }) => kind)).size).toBe(rows.length);
    expect(rows.length).toBeGreaterThanOrEqual(50);
    const figures = { 'kinds planted': rows.length, missed: 0 };
    report('verify, planted damage', figures, 'npx vitest run test/maintenance/verify-damage.test.ts');
    expect([PAGE_LEAF, PAGE_OVERFLOW, numberOf(bytesOfNumber(7))]).toEqual([1, 3, 7]);
  });
});
