import type { VmState } from '../../model/vm-state.js'
import type { ConformanceHost } from './host.js'
import type { Need } from './case.js'

const needs: Partial<Record<VmState, readonly Need[]>> = {
  running: ['vm.start', 'guest'],
  paused: ['vm.start', 'vm.pause', 'guest'],
  suspended: ['vm.start', 'vm.suspend', 'guest'],
  crashed: ['vm.start', 'guest'],
}

/** What it takes to bring a VM into a settled state. */
export const needsOf = (state: VmState): readonly Need[] => needs[state] ?? []

/** The settled states that a VM of the host can be brought into. */
export const reachableStates = (host: ConformanceHost): VmState[] => [
  'stopped',
  'running',
  'paused',
  'suspended',
  ...(host.afterCrash === 'crashed' ? (['crashed'] as const) : []),
]
