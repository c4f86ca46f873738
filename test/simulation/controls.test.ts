/*
 * Power cuts on disks that keep less than they say: each takes one protection away, and the simulation must notice. A
 * simulation that lets one of these pass would let a broken store pass.
 */
import { expect, test } from 'vitest';
import type { SimulatedBackend, SimulatedCall } from '../../src/testing/index.ts';
import { seed } from '../support/seed.ts';
import type { ProfileName } from './profile.ts';
import { simulate, Violation } from './simulate.ts';

/** Most crash states to look at before a broken disk counts as unnoticed. */
const STATES_MAX = 4000;

/** A disk on which some calls say that all is well and do nothing. */
function losing(isLost: (call: SimulatedCall) => boolean): (backend: SimulatedBackend) => void {
  return (backend) => {
    const { plan } = backend;
    backend.plan = (call) => (isLost(call) ? { lost: true } : plan(call));
  };
}

const isSync = ({ operation }: SimulatedCall) => operation === 'sync' || operation === 'syncSync';

const disks: readonly (readonly [what: string, profile: ProfileName, (call: SimulatedCall) => boolean])[] = [
  ['no sync of the data file', 'mixed', (call) => isSync(call) && call.file === 'data'],
  ['no sync of the log', 'mixed', (call) => isSync(call) && call.file !== 'data'],
  ['no blocking sync', 'blocking', ({ operation }) => operation === 'syncSync'],
  ['no sync of the directory', 'mixed', ({ operation }) => operation === 'syncDirectory'],
  [
    'one write of the log in twenty',
    'mixed',
    ({ operation, file, number }) => operation === 'write' && file !== 'data' && number % 20 === 0,
  ],
  [
    'one superblock in five',
    'mixed',
    ({ operation, file, position, number }) =>
      operation === 'write' && file === 'data' && position <= 4096 && number % 5 === 0,
  ],
];

for (const [what, profile, isLost] of disks) {
  test(`simulation: a disk that does ${what} is found out`, { timeout: 600_000 }, async () => {
    const broken = simulate({ seed, states: STATES_MAX, profile, prepare: losing(isLost) });
    await expect(broken).rejects.toBeInstanceOf(Violation);
    await expect(broken).rejects.toThrow(/seed \d+; repeat: --profile/);
  });
}

test('simulation: the same seed sees the same states', async () => {
  const once = await simulate({ seed, states: 300 });
  expect(await simulate({ seed, states: 300 })).toEqual(once);
});
