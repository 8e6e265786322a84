/** The states that a host reports of a VM. */
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

export type VmState = (typeof vmStates)[number]
