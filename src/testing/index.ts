/** The entry point `aegis-storage/testing`: what helps to test the engine and backends of your own. */
export {
  type BackendCase,
  type BackendFactory,
  type BackendSuiteReport,
  backendCases,
  runBackendSuite,
} from './backend-suite.ts';
