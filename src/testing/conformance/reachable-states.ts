import type { VmState } from '../../model/vm-state.js'
import type { DescribedHost } from './host.js'
import type { Need } from './case.js'

const needs: Partial<Record<VmState, readonly Need[]>> = {
  running: ['vm.start', 'running VM'],
  paused: ['vm.start', 'vm.pause', 'running VM'],
  suspended: ['vm.start', 'vm.suspend', 'running VM'],
  crashed: ['vm.start', 'guest'],
}

/** What a case needs to bring a VM into a settled state. */
export const needsOf = (state: VmState): readonly Need[] => needs[state] ?? []

/** The settled states that a VM of the host can be brought into. */
export const reachableStates = (host: DescribedHost): VmState[] => [
  'stopped',
  'running',
  'paused',
  'suspended',
  ...(host.afterCrash === 'crashed' ? (['crashed'] as const) : []),
]
