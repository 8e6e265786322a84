import type { Capability, VmState } from 'awaitvm'
import type { ConformanceHost } from './host.js'

const needs: Partial<Record<VmState, readonly Capability[]>> = {
  running: ['vm.start', 'vm.console'],
  paused: ['vm.start', 'vm.pause', 'vm.console'],
  suspended: ['vm.start', 'vm.suspend', 'vm.console'],
  crashed: ['vm.start', 'vm.console'],
}

/** What it takes to bring a VM into a settled state. */
export const needsOf = (state: VmState): readonly Capability[] => needs[state] ?? []

/** The settled states that a VM of the host can be brought into. */
export const reachableStates = (host: ConformanceHost): VmState[] => [
  'stopped',
  'running',
  'paused',
  'suspended',
  ...(host.afterCrash === 'crashed' ? (['crashed'] as const) : []),
]
