/**
 * The entry point `aegis-storage/local`: the backend that keeps a store in a folder.
 *
 * @module aegis-storage/local
 */
export { LocalBackend } from './backend/local.ts';
