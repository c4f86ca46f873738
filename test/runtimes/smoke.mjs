/*
 * The smoke test of every runtime: open, commit, scan, close. It imports nothing, so that the same file runs in a
 * browser page; whoever calls it hands over the package and, where there are folders, an empty one.
 */

const records = 1000;

/** Runs the test on the memory backend and, given a folder, on the local backend; answers what was done. */
export async function smoke(aegis, directory) {
  const done = [await useStore(aegis, { backend: 'memory' }), await useBlocks(aegis)];
  if (directory === undefined) {
    done.push(await refuseLocal(aegis));
  } else {
    done.push(await useStore(aegis, { backend: 'local', dataDirectory: directory }));
    done.push(await reopen(aegis, { backend: 'local', dataDirectory: directory }));
  }
  return done;
}

async function useStore({ StorageEngine, AegisError }, config) {
  const db = await StorageEngine.open(config);
  await db.put('k', 'v');
  equal(db.getString('k'), 'v', 'a value just put');
  await db.transaction((tx) => {
    for (let i = 0; i < records; i += 1) tx.put(name(i), `value ${i}`);
  });
  checkRecords(db);
  equal(await db.delete('k'), true, 'the key was there to delete');
  equal(db.getString('k'), undefined, 'a deleted key');
  try {
    await db.put('', new Uint8Array(0));
    await db.put(new Uint8Array(1 << 20), 'v');
    throw new Error('a key of 1 MiB was taken');
  } catch (error) {
    if (!(error instanceof AegisError) || error.code !== 'TOO_LARGE') throw error;
  }
  await db.close();
  return `${config.backend}: open, commit, scan, close`;
}

/** LZ4 everywhere; zstd where there is a way to load it between two statements, and in a page by its policy. */
async function useBlocks({ AegisError, Block, loadCodec, StorageEngine }) {
  const data = new TextEncoder().encode('words and more words '.repeat(100));
  const read = (block) => Block.deserialize(block.serialize());
  const block = new Block(data, { type: 'document' }).withCompression('lz4');
  equal(read(block).data.join(), data.join(), 'a block in LZ4');
  try {
    equal(read(block.withCompression('zstd', 3)).header.codec, 'zstd', 'the codec of a block');
  } catch (error) {
    if (!(error instanceof AegisError) || error.code !== 'UNSUPPORTED') throw error;
    if (!error.message.includes("await loadCodec('zstd')")) throw error;
  }
  try {
    await loadCodec('zstd');
  } catch (error) {
    if (!(error instanceof AegisError) || error.code !== 'UNSUPPORTED' || !/eval/i.test(error.message))
      throw error;
    return 'blocks: LZ4; zstd: refused by the policy of the page';
  }
  const db = await StorageEngine.open({ compression: 'zstd', bufferPoolSize: '512KB' });
  const id = await db.writeBlock(block.withCompression('zstd'));
  for (let i = 0; i < 100; i += 1) await db.put(name(i), data);
  equal(db.readBlock(id).data.join(), data.join(), 'a block in zstd');
  equal(db.get(name(99)).join(), data.join(), 'a value in a zstd store');
  await db.close();
  return 'blocks: LZ4, zstd';
}

async function reopen({ StorageEngine }, config) {
  const db = await StorageEngine.open(config);
  checkRecords(db);
  await db.close();
  return `${config.backend}: all there after opening again`;
}

async function refuseLocal({ StorageEngine, AegisError }) {
  try {
    await StorageEngine.open({ backend: 'local', dataDirectory: 'data' });
  } catch (error) {
    if (error instanceof AegisError && error.code === 'UNSUPPORTED') return 'local: UNSUPPORTED';
    throw error;
  }
  throw new Error('a local store opened where there is none');
}

function checkRecords(db) {
  const decoder = new TextDecoder();
  let next = 0;
  for (const [key, value] of db.scan({ prefix: 'record' })) {
    equal(decoder.decode(key), name(next), 'the key of a scanned record');
    equal(decoder.decode(value), `value ${next}`, 'the value of a scanned record');
    next += 1;
  }
  equal(next, records, 'records scanned');
}

function name(i) {
  return `record ${String(i).padStart(6, '0')}`;
}

function equal(actual, expected, what) {
  if (actual !== expected) throw new Error(`${what}: got ${String(actual)}, expected ${String(expected)}`);
}
