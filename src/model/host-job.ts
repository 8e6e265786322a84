import type { OperationCode } from '../operations.js'

/** How far an operation has come. The percentage is derived from `done` and `total` if it is absent. */
export interface ProgressUpdate {
  /** From 0 to 100. */
  readonly percent?: number | undefined
  /** What is being done, for people: `'saving memory'`. */
  readonly phase?: string | undefined
  /** How many units are done. */
  readonly done?: number | undefined
  /** How many units there are. */
  readonly total?: number | undefined
  /** What `done` and `total` count: `'bytes'`. */
  readonly unit?: string | undefined
}

/** The VM that a job of the host works on. */
export interface HostJobVm {
  /** The id of the VM. */
  readonly id: string
  /** The name of the VM as the host told it. */
  readonly name: string
}

/** A job that the host itself keeps, as it was when the host was asked. */
export interface HostJob {
  /** Identifies the job on its host, for any process. */
  readonly token: string
  /** The operation that the job is of. */
  readonly operation: OperationCode
  /** The VM that it works on; absent if it makes one. */
  readonly vm: HostJobVm | undefined
  /** How far the host has come. */
  readonly progress: ProgressUpdate
}
