/** zstd-codec as a static import, for whoever says beforehand that it will be needed. */
import { open } from '../../build/zstd-codec.js';
import { provideZstd } from './wasm-zstd.ts';

/** Makes zstd a codec that is there; it starts when it is first used. */
export function bringZstd(): void {
  provideZstd({ open });
}
