/**
 * Pages whose codec works on this side of the door: two calls of the core with the codec in between, over bytes that
 * lie in its memory. The codec sees the payload and the space for its answer and nothing else.
 *
 * 1. The core seals what it has laid down itself, whatever the codec did to its source.
 * 2. What a codec from outside compressed is written only if it decodes to the payload.
 */
import {
  AREA_PAGE,
  AREA_STAGING,
  BLOCK_HEADER_SIZE,
  CODEC_LZ4,
  DAMAGE_COMPRESSION,
  OK,
  PAGE_AREA,
  SECTOR_SIZE,
} from '../../assembly/layout.ts';
import type { StoreCodecs } from '../codec/store-codecs.ts';
import type { Core } from '../core/wasm.ts';
import { claimingAreas } from '../core/wasm.ts';

/** Where payloads lie while a codec works on them. */
const AREAS = AREA_STAGING | AREA_PAGE;

/** Writes the page in a frame as a block; answers the bytes to write, 0 when the codec saves no sector. */
export function sealHosted(
  core: Core,
  codecs: StoreCodecs,
  frame: number,
  codec: number,
  target: number,
): number {
  const { x } = core;
  const raw = x.pagePayload(frame);
  const from = x.payloadAddress();
  const body = target + BLOCK_HEADER_SIZE;
  const capacity = (Math.ceil((BLOCK_HEADER_SIZE + raw) / SECTOR_SIZE) - 1) * SECTOR_SIZE - BLOCK_HEADER_SIZE;
  if (capacity <= 0) return 0;
  const stored = claimingAreas(core, AREAS, () =>
    codecs.compress(codec, core.u8.subarray(from, from + raw), core.u8.subarray(body, body + capacity)),
  );
  if (stored === 0) return 0;
  const proves = codec !== CODEC_LZ4 && codecs.proves(codec); // LZ4 the core proves itself
  if (proves) {
    const source = core.u8.subarray(body, body + stored);
    const again = core.u8.subarray(PAGE_AREA, PAGE_AREA + raw);
    if (!claimingAreas(core, AREAS, () => codecs.decompress(codec, source, again))) return 0;
  }
  const bytes = x.blockSealStored(frame, codec, stored, target);
  return proves && !x.payloadSame(raw) ? 0 : bytes;
}

/** Decodes the payload of the block at an address to where the core wants it; OK or DAMAGED. */
export function decodeHosted(core: Core, codecs: StoreCodecs, block: number, page: number): number {
  const { x } = core;
  const raw = core.u32[block / 4 + 6] as number;
  const stored = core.u32[block / 4 + 7] as number;
  const body = block + BLOCK_HEADER_SIZE;
  const target = x.payloadAddress();
  const source = core.u8.subarray(body, body + stored);
  const codec = core.u8[block + 5] as number;
  const isDone = claimingAreas(core, AREAS, () =>
    codecs.decompress(codec, source, core.u8.subarray(target, target + raw)),
  );
  if (isDone) return OK;
  return x.damageSet(page, DAMAGE_COMPRESSION);
}
