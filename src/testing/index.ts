/**
 * The entry point `aegis-storage/testing`: what helps to test the engine and backends of your own.
 *
 * @module aegis-storage/testing
 */
export { SimulatedBackend, type SimulatedOptions } from '../backend/simulated.ts';
export type { SimulatedClock } from '../backend/simulated-clock.ts';
export type { CrashChoice, CrashUnit } from '../backend/simulated-cut.ts';
export {
  faultAt,
  faultFrom,
  type SimulatedCall,
  type SimulatedErrno,
  type SimulatedFault,
  type SimulatedOperation,
  type SimulatedPlan,
} from '../backend/simulated-faults.ts';
export {
  type BackendCase,
  type BackendFactory,
  type BackendSuiteReport,
  backendCases,
  runBackendSuite,
} from './backend-suite.ts';
