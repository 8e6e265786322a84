import type { VmState } from '../../model/vm-state.js'

/** prlctl's words for the states. */
const states: Readonly<Record<string, VmState>> = {
  stopped: 'stopped',
  starting: 'starting',
  restoring: 'resuming',
  running: 'running',
  paused: 'paused',
  suspending: 'suspending',
  syncing: 'suspending',
  stopping: 'stopping',
  suspended: 'suspended',
  snapshoting: 'snapshotting',
  del_snapshot: 'snapshotting',
  resetting: 'resetting',
  pausing: 'pausing',
  continuing: 'resuming',
  resuming: 'resuming',
  migrating: 'migrating',
}

/** The state for a word of prlctl. `'unknown'` while a disk is compacted or mounted, and for a VM that can't be read. */
export const stateOf = (word: string): VmState =>
  Object.hasOwn(states, word) ? (states[word] ?? 'unknown') : 'unknown'

const settled: ReadonlySet<VmState> = new Set(['stopped', 'running', 'paused', 'suspended', 'unknown'])

/** True for a state in which a VM stays until it is changed. */
export const isSettled = (state: VmState): boolean => settled.has(state)
