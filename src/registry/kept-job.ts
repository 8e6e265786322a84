import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { hostClockMs } from '../clock.js'
import type { ProgressUpdate } from '../model/host-job.js'
import type { JobTarget, OperationCode } from '../operations.js'
import { removeJob, takeStopRequest, writeJob, type JobRecord } from './job-record.js'
import type { ProcessIdentity } from './process-identity.js'

/** A job that ends sooner is not written down: nobody would see it in time. */
const shownAfterMs = 250

/** What the ledger needs of a job to show it to other processes. */
export interface KeptTask {
  readonly operation: OperationCode
  readonly target: JobTarget | undefined
  /** How far the job has come, as its users see it. */
  readonly reported: ProgressUpdate
  /** Whether the job can be asked to stop at present. */
  readonly isCancelable: boolean
  /** Whether the job was asked to stop. */
  readonly isAskedToStop: boolean
  setToken(token: string): void
  /** Asks the job to stop, for a follower in another process; `false` if it can't be stopped. */
  requestCancel(reason: string): Promise<boolean>
}

/** A job of this process, and its record for other processes. */
export class KeptJob {
  readonly token = randomUUID()
  readonly #folder: string
  readonly #task: KeptTask
  readonly #owner: ProcessIdentity
  readonly #began = performance.now()
  #written: JobRecord | undefined
  #refusals = 0
  #hasWarned = false

  constructor(folder: string, task: KeptTask, owner: ProcessIdentity) {
    this.#folder = folder
    this.#task = task
    this.#owner = owner
  }

  get hasLasted(): boolean {
    return performance.now() - this.#began >= shownAfterMs
  }

  /** Updates the record, and looks for a request to stop. */
  tend(): void {
    this.#tell(() => {
      if (this.#written === undefined) this.#show()
      else this.#renew()
    })
  }

  /** Writes the outcome for followers; false if the job has no record. */
  end(outcome: JobRecord['outcome']): boolean {
    if (this.#written === undefined) return false
    this.#tell(() => {
      this.#write({ ...this.#present(), endedAt: hostClockMs(), outcome })
    })
    if (this.#written.outcome === undefined) {
      // The disk may be full. Without a record, followers know that the outcome is unknown.
      this.#tell(() => {
        removeJob(this.#folder, this.token)
      })
    }
    return true
  }

  #show(): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    this.#write(this.#present())
    this.#task.setToken(this.token)
  }

  #renew(): void {
    const reason = takeStopRequest(this.#folder, this.token)
    if (reason !== undefined) void this.#ask(reason)
    const present = this.#present()
    if (!isDeepStrictEqual(present, this.#written)) this.#write(present)
  }

  async #ask(reason: string): Promise<void> {
    const isTaken = await this.#task.requestCancel(reason)
    if (!isTaken) this.#refusals += 1
  }

  #present(): JobRecord {
    const { operation, target, reported, isCancelable } = this.#task
    return {
      owner: this.#owner,
      operation,
      ...(target?.type === 'vm' && { vm: { id: target.id, name: target.name } }),
      progress: reported,
      isCancelable,
      refusals: this.#refusals,
    }
  }

  #write(record: JobRecord): void {
    writeJob(this.#folder, this.token, record)
    this.#written = record
  }

  /** A record that can't be written does not make the job fail. */
  #tell(step: () => void): void {
    try {
      step()
    } catch (error) {
      if (this.#hasWarned) return
      this.#hasWarned = true
      process.emitWarning(`Job ${this.token} can't be shown to others: ${String(error)}`, 'AwaitvmWarning')
    }
  }
}
