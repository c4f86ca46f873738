/* Stores without an engine whose memory, books and file are spoilt by hand. */
import { expect } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import type { Pager } from '../../src/store/pager.ts';
import { type BareStore, openBare } from './bare-store.ts';

export interface Ground {
  store: BareStore;
  backend: MemoryBackend;
}

/** A store of two levels and a chain, checkpointed, everything in frames. */
export async function makeGround(options: Partial<StorageConfig> = {}): Promise<Ground> {
  const backend = new MemoryBackend();
  const store = await openBare(backend, options);
  for (let i = 0; i < 400; i++) store.put(`key ${String(i).padStart(5, '0')}`, `value ${i} `.repeat(8));
  store.put('long', new Uint8Array(20_000).fill(7));
  store.checkpointer.runBlocking();
  expect((await store.verify()).problems).toEqual([]);
  return { store, backend };
}

/** Kind of the page in a frame. */
export function kindIn({ core }: Pager, frame: number): number {
  return core.x.inspectShape(core.x.frameAddress(frame)) & 0xff;
}

/** Two leaves, both in frames and in extents. */
export function leavesOf(pager: Pager): [number, number] {
  const { x } = pager.core;
  const pages = [...Array(pager.nextPage).keys()].filter((page) => {
    const frame = page > 1 ? x.frameNewest(page) : 0;
    return frame !== 0 && kindIn(pager, frame) === LEAF;
  });
  return [pages[0]!, pages[1]!];
}

export function write(backend: MemoryBackend, offset: number, bytes: Uint8Array): void {
  backend.open('data', { create: false }).write([bytes], offset);
}

export const LEAF = 1;
