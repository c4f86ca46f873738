/**
 * Opening: from a configuration to the machine behind an engine, with the lock taken and everything acknowledged in
 * place. If any step fails, files and lock are released.
 */
import type { StorageBackend } from '../backend/backend.ts';
import { hostOf } from '../backend/host.ts';
import { MemoryBackend } from '../backend/memory.ts';
import { Outside } from '../backend/outside.ts';
import { AegisError, invalid } from '../base/errors.ts';
import type { OwnBytes } from '../base/lib-types.ts';
import type { GivenCodecs } from '../codec/user-block.ts';
import type { ResolvedConfig } from '../config/config.ts';
import { resolveConfig } from '../config/config.ts';
import { guardTrap } from '../core/wasm.ts';
import { refuseForeignPlace } from '../maintenance/find-store.ts';
import { openStore } from '../maintenance/open-store.ts';
import { EngineCore } from './engine-core.ts';

/** Opens a store; tests give the debug build of the core, and log files smaller than any configuration makes. */
export async function openEngineCore(
  config: ResolvedConfig,
  module?: OwnBytes,
  segmentSize?: number,
): Promise<EngineCore> {
  const outside = new Outside();
  const backend = outside.backend(await backendOf(config));
  await refuseForeignPlace(backend, config);
  const lock = await backend.lock(config.readOnly ? 'shared' : 'exclusive');
  try {
    const codecs = watchedCodecs(outside, config.codecs);
    const store = await openStore({
      backend,
      host: hostOf(backend),
      config: { ...config, codecs },
      module,
      segmentSize,
    });
    const own = { ...config, pageSize: store.core.pageSize };
    const engineCore = new EngineCore(Object.freeze(own), { backend, codecs, outside, lock }, store);
    try {
      await engineCore.start();
    } catch (error) {
      await engineCore.close().catch(() => undefined);
      throw error;
    }
    return engineCore;
  } catch (error) {
    await lock.release();
    throw guardTrap(error);
  }
}

function watchedCodecs(outside: Outside, given: GivenCodecs = {}): GivenCodecs {
  const { lz4, zstd } = given;
  return { lz4: lz4 && outside.watched(lz4), zstd: zstd && outside.watched(zstd) };
}

/** The backend that a configuration means; the local one is loaded when it is asked for. */
export async function backendOf(
  config: Pick<ResolvedConfig, 'backend' | 'dataDirectory'>,
): Promise<StorageBackend> {
  if (config.backend === 'memory') return new MemoryBackend();
  if (config.backend !== 'local') return config.backend;
  const { LocalBackend } = await importLocal();
  return new LocalBackend(config.dataDirectory);
}

/** The place that a copy goes to. @throws AegisError `INVALID_ARGUMENT`, `UNSUPPORTED` */
export async function placeOf(what: string, target: unknown): Promise<StorageBackend> {
  const allowed = 'a folder (not empty, without NUL) or a backend';
  if (typeof target !== 'string') {
    if (typeof target !== 'object' || target === null) throw invalid(`${what}: the target`, target, allowed);
    return resolveConfig({ backend: target as StorageBackend }).backend as StorageBackend;
  }
  if (target === '' || target.includes('\0')) throw invalid(`${what}: the target`, target, allowed);
  return backendOf({ backend: 'local', dataDirectory: target });
}

async function importLocal(): Promise<typeof import('../backend/local.ts')> {
  try {
    return await import('../backend/local.ts');
  } catch (cause) {
    const message = 'the local backend needs Node, Deno or Bun: this runtime has no files';
    throw new AegisError('UNSUPPORTED', message, { cause });
  }
}
