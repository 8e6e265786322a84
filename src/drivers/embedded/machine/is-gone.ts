import { MachineStoppedError } from './machine-stopped-error.js'
import { MachineCrashedError, MachineTerminatedError } from './machine-thread.js'

/** Whether an error means that the machine has ended, for any reason. */
export const isGone = (error: unknown): boolean =>
  error instanceof MachineStoppedError ||
  error instanceof MachineCrashedError ||
  error instanceof MachineTerminatedError
