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

/** `'unknown'` where awaitvm has no word for it: while a disk is compacted or mounted, or where the VM can't be read. */
export const stateOf = (word: string): VmState =>
  Object.hasOwn(states, word) ? (states[word] ?? 'unknown') : 'unknown'

const settled: ReadonlySet<VmState> = new Set(['stopped', 'running', 'paused', 'suspended', 'unknown'])

/** Whether a VM stays in this state until somebody does something. */
export const isSettled = (state: VmState): boolean => settled.has(state)
