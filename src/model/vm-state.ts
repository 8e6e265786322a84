/** The states of a VM. */
export const vmStates = [
  'stopped',
  'starting',
  'running',
  'pausing',
  'paused',
  'resuming',
  'suspending',
  'suspended',
  'stopping',
  'resetting',
  'snapshotting',
  'cloning',
  'migrating',
  'crashed',
  'unknown',
] as const

/** The state of a VM, as its host reports it. `'unknown'`: the host can't tell, or awaitvm does not know its word for it. */
export type VmState = (typeof vmStates)[number]
