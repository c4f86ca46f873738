/**
 * The entry point `aegis-storage/zstd`: brings the built-in zstd. A bundle for browsers has it only if this is imported;
 * Node, Deno and Bun find it without.
 *
 * @module aegis-storage/zstd
 */
import { bringZstd } from './core/zstd-brought.ts';

bringZstd();
