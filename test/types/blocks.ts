/* The declarations of blocks, held against what is promised of them: compiled by `npm run check`, never run. */
import type * as main from '../../src/index.ts';
import type { Alike, Fits, Holds, Keeps, Same } from './holds.ts';

type CompressionType = 'none' | 'lz4' | 'zstd';
type BlockType = 'table' | 'timeseries' | 'document' | 'index' | 'log' | 'metadata';

interface Block {
  withCompression(type: CompressionType, level?: number): main.Block;
  readonly data: Uint8Array<ArrayBuffer>;
  readonly type: BlockType;
  readonly compression: CompressionType;
  readonly header: main.BlockHeader;
  serialize(): Uint8Array<ArrayBuffer>;
}

interface Keeping {
  writeBlock(block: main.Block): Promise<main.BlockId>;
  readBlock(id: main.BlockId): main.Block | undefined;
  deleteBlock(id: main.BlockId): Promise<boolean>;
}

export type Blocks = Holds<
  [
    Same<main.BlockType, BlockType>,
    Same<main.BlockId, number>,
    Keeps<main.StorageEngine, Keeping>,
    Keeps<main.Block, Block>,
    Same<typeof main.Block.deserialize, (bytes: Uint8Array) => main.Block>,
    Fits<[data: Uint8Array], ConstructorParameters<typeof main.Block>>,
    Fits<[data: Uint8Array, options: { type: BlockType }], ConstructorParameters<typeof main.Block>>,
    Alike<ConstructorParameters<typeof main.Block>['length'], 1 | 2>,
    // Sizes, codec, checksum, format version.
    Same<main.BlockHeader['rawSize' | 'storedSize' | 'version'], number>,
    Same<main.BlockHeader['codec'], CompressionType>,
    Same<main.BlockHeader['checksum'], string>,
    Fits<'lz4' | 'zstd', Parameters<typeof main.loadCodec>[0]>,
    Same<ReturnType<typeof main.loadCodec>, Promise<void>>,
  ]
>;
