// Settings from a file: the section [storage] of a TOML text. What it gets wrong is named.
import { AegisError, loadConfig, StorageEngine } from 'aegis-storage';

const file = `
[server]
port = 8080            # other sections are not looked at

[storage]
backend = "memory"
page_size = 4096
buffer_pool_size = "1MB"
`;
const engine = await StorageEngine.open(loadConfig(file));
console.log(engine.config.pageSize, engine.config.bufferPoolSize);
await engine.close();

try {
  loadConfig('[storage]\nbufer_pool_size = "1MB"');
} catch (error) {
  if (error instanceof AegisError) console.log(error.code, /buffer_pool_size/.test(error.message));
}

/* Output:
4096 1048576
INVALID_ARGUMENT true
*/
