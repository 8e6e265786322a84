export { backoffMs, pause, withJitter, type Backoff } from './backoff.js'
export type { Driver, DriverAnswers, DriverInputs, DriverOperations, DriverOperationTypes } from './driver.js'
export type { GuestInputs, GuestPath, OnVm } from './guest-inputs.js'
export type { DriverOperation } from '../operations.js'
export { Exclusive } from '../exclusive.js'
export { connectionLost, FollowedJob, FollowedJobs, type HostJobListener, type HostJobSource } from './followed-job.js'
export { HostWork, type Sending } from './host-work.js'
export { Inventory, type VmSight } from './inventory.js'
export { Listeners } from './listeners.js'
export { poll, type PollOptions } from './poll.js'
export type { ProgramControl, ProgramEnd, ProgramIo, Sink } from './program-io.js'
export { stayConnected, type ReconnectOptions } from './reconnect.js'
export {
  requireNewSnapshot,
  requireSnapshot,
  withoutSnapshot,
  type KeptSnapshot,
  type KeptSnapshots,
} from './snapshot-list.js'
export {
  refuseSettings,
  unsupported,
  type Handled,
  type HandledSettings,
  type KeysOf,
  type Unsupported,
  type UnsupportedOptions,
  type ValueOf,
} from './settings.js'
export type { CancelHandler, Task } from './task.js'
export { thisMachine } from './this-machine.js'
export { filterVms, findVm } from './vm-lookup.js'
export {
  idIsTaken,
  nameIsId,
  nameIsTaken,
  snapshotNameIsTaken,
  snapshotNotFound,
  vmNotFound,
} from '../errors/lookup.js'
export { invalidState, requireState } from '../errors/state.js'
export type { HostJob, HostJobVm, ProgressUpdate } from '../model/host-job.js'
export { snapshotTree } from '../model/snapshot-tree.js'
export type { VmRecord } from '../model/vm-record.js'
export { registerDriver, type OpenDriver } from '../schemes.js'
export { guestOperations } from '../guest/guest-operations.js'
export type { GuestHost, GuestProgram, GuestWay } from '../guest/guest-way.js'
export { wrappedProgram, type WrappedProgram } from '../guest/wrapped-program.js'
