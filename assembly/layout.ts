/*
 * Every constant that both sides of the WebAssembly door must agree on: sizes, kinds, statuses, addresses of the
 * fixed areas. Written in the common subset of AssemblyScript and TypeScript (upper-case names, non-negative
 * literals below 2^31, other constants, + - * << |), compiled by both, and compared value by value when an instance
 * starts (src/core/wasm.ts). Offsets inside pages are not here: TypeScript knows none.
 */

// --- format -------------------------------------------------------------------------------------------------
export const FORMAT_VERSION = 1;
export const SECTOR_SIZE = 512; // bytes; extents, log groups and superblocks start and end on sector boundaries
export const PAGE_SIZE_MIN = 4096; // bytes
export const PAGE_SIZE_MAX = 65536; // bytes
export const KEY_SIZE_DIVISOR = 8; // largest key = page size / 8
export const KEY_SIZE_MAX = 8192; // bytes, at the largest page size
export const VALUE_SIZE_MAX = 0x3fffffff; // bytes, 1 GiB - 1
export const NAME_SIZE_MAX = 255; // bytes of a tree's name

// --- page kinds ---------------------------------------------------------------------------------------------
export const PAGE_LEAF = 1;
export const PAGE_INNER = 2;
export const PAGE_OVERFLOW = 3;
export const PRIVATE_PAGE = 0x40000000; // bit of a page number: a transaction's own page, in no checkpoint
export const PAGE_NUMBER_MAX = 0x3fffffff;

// --- blocks on a backend ------------------------------------------------------------------------------------
export const BLOCK_HEADER_SIZE = 64; // bytes
export const BLOCK_PAGE = 1; // a tree or overflow page
export const BLOCK_CHUNK = 2; // a piece of the page directory
export const CODEC_NONE = 0;
export const CODEC_LZ4 = 1;
export const CODEC_ZSTD = 2;

// --- user blocks --------------------------------------------------------------------------------------------
export const USER_HEADER_SIZE = 32; // bytes
export const USER_TYPE_COUNT = 6; // types are numbered from 1 on
export const USER_RUN_SIZE = 1048576; // bytes that the checksum takes in at once
export const USER_PIECE_LZ4 = 65536; // bytes of data in a piece of an LZ4 payload, the last one apart
export const USER_PIECE_ZSTD = 1048576; // and of a zstd payload
export const USER_PIECE_HEADER_SIZE = 4; // bytes; the length of a piece as it is stored, bit 31: not compressed

// --- log ----------------------------------------------------------------------------------------------------
export const SEGMENT_HEADER_SIZE = 512; // bytes, one sector at the start of every log segment
export const GROUP_HEADER_SIZE = 64; // bytes
export const PART_HEADER_SIZE = 24; // bytes; a commit, or one group's share of a long one
export const PART_FIRST = 1; // flag: the commit starts with this part
export const PART_LAST = 2; // flag: the commit ends with this part
export const RECORD_HEADER_SIZE = 12; // bytes; one operation: kind, key length, tree, value length
export const RECORD_PUT = 1;
export const RECORD_DELETE = 2;
export const RECORD_PUT_LONG = 3; // a put whose value follows in RECORD_VALUE pieces
export const RECORD_VALUE = 4;
export const RECORD_TREE = 5; // a tree begins: its name as key, its id as tree
export const RECORD_DROP = 6; // a tree ends

// --- statuses of core calls ---------------------------------------------------------------------------------
export const OK = 0;
export const NOT_FOUND = 1; // no such key; nothing was changed
export const MISS = 2; // a page is not resident: see miss*(); bring it in and call again
export const EXHAUSTED = 3; // drain events, refill page numbers, free frames; then call again
export const LONG = 4; // this record's value needs an overflow chain: build it, then put the chain
export const DAMAGED = 5; // bytes that no correct page, block or group can hold: see damage()
export const ENCODED = 16; // a payload that a codec of the host decodes (payloadAddress()): do it, then go on

// --- what is wrong with damaged bytes (damage()) --------------------------------------------------------------
export const DAMAGE_NONE = 0;
export const DAMAGE_MAGIC = 1;
export const DAMAGE_CHECKSUM = 2;
export const DAMAGE_IDENTITY = 3; // another store's, another page's or an older version's bytes
export const DAMAGE_SIZE = 4; // a length or count that cannot be
export const DAMAGE_CODEC = 5;
export const DAMAGE_COMPRESSION = 6; // the compressed payload does not decode to its size
export const DAMAGE_KIND = 7; // page kind or level is not what the parent expects
export const DAMAGE_ORDER = 8; // keys out of order or outside the parent's bounds
export const DAMAGE_REFERENCE = 9; // a child or chain page number that cannot be
export const DAMAGE_OVERFLOW = 10; // an overflow chain of the wrong length

// --- flags of a value as found (valueFlags()) -----------------------------------------------------------------
export const VALUE_OVERFLOW = 1; // the value lies in overflow pages: valueAddress() is the first page's number
export const VALUE_TOMBSTONE = 2; // a deletion, in a transaction's own tree

// --- events the core reports to the pager ---------------------------------------------------------------------
export const EVENT_SIZE = 32; // bytes: kind u32, page u32, from f64, to f64, frame u32, reserved u32
export const EVENT_CHANGED = 1; // the page's last bytes ended; frame = copy of the old bytes or 0
export const EVENT_FREED = 2; // the page number ended; frame = the old bytes or 0
export const EVENT_TAKEN = 3; // a private page began
export const EVENT_CAPACITY = 512;

// --- linear memory: fixed areas (byte addresses) --------------------------------------------------------------
export const STATE_AREA = 0x10000; // counters, roots of lists; below it only the compiler's static data
export const STATE_AREA_SIZE = 0x1000;
export const KEY_AREA = 0x11000; // the key of a call, or the first bound of a range
export const BOUND_AREA = 0x13000; // the far bound of a range
export const FENCE_LOW_AREA = 0x15000; // bounds a missing page must keep
export const FENCE_HIGH_AREA = 0x17000;
export const EVENT_AREA = 0x19000;
export const NUMBER_AREA = 0x1d000; // free page numbers handed to the core: shared stack, then private stack
export const NUMBER_CAPACITY = 256; // u32 each, per stack
export const VICTIM_AREA = 0x1d800; // frames chosen for writing
export const VICTIM_CAPACITY = 256;
export const LZ4_TABLE_AREA = 0x1e000;
export const LZ4_TABLE_SIZE = 0x4000;
export const PAGE_AREA = 0x22000; // two spare pages for rebuilding and serialising
export const PAGE_AREA_SIZE = 0x21000; // two pages of the largest size and some slack
export const STAGING_AREA = 0x50000; // blocks on their way to or from a backend
export const STAGING_AREA_SIZE = 0x100000;
export const OUT_AREA = 0x150000; // values and packed records on their way to the caller
export const OUT_AREA_SIZE = 0x80000;
export const LOG_AREA = 0x1d0000; // two log buffers: one is filled while the other is written
export const LOG_BUFFER_SIZE = 0x100000;
export const INPUT_AREA = 0x3d0000; // pieces of long values, keys of group reads
export const INPUT_AREA_SIZE = 0x20000;
export const FRAME_AREA = 0x400000; // frame table, page table, frames
export const FRAME_OVERHEAD = 96; // bytes of tables per frame, at the most

// --- areas that may be claimed (areas.ts), as a bit set ----------------------------------------------------------
export const AREA_KEY = 1;
export const AREA_BOUND = 2;
export const AREA_INPUT = 4;
export const AREA_OUT = 8;
export const AREA_FENCES = 16; // both of them, and what else a miss says of the page
export const AREA_STAGING = 32;
export const AREA_PAGE = 64;
export const AREAS_OF_CALL = AREA_KEY | AREA_BOUND | AREA_INPUT | AREA_OUT | AREA_FENCES; // while it waits for a page
export const AREAS_ALL = AREAS_OF_CALL | AREA_STAGING | AREA_PAGE;
