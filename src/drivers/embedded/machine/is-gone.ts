import { MachineStoppedError } from './machine-stopped-error.js'
import { MachineCrashedError, MachineTerminatedError } from './machine-thread.js'

/** Whether an error says that the machine has gone, by whatever cause. */
export const isGone = (error: unknown): boolean =>
  error instanceof MachineStoppedError ||
  error instanceof MachineCrashedError ||
  error instanceof MachineTerminatedError
