import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Task } from '../driver.js'
import { removeJob, takeStopRequest, writeJob, type JobRecord } from './job-record.js'
import { ownIdentity } from './process-identity.js'

/** What ends sooner is not written down: nobody would come in time to see it, and it would only cost. */
const shownAfterMs = 250
/** How often what is written down is renewed, and requests to stop are looked for. */
const renewedEveryMs = 100

/** A job of this process, from its beginning on, and what others are told of it. */
export class KeptJob {
  readonly token = randomUUID()
  readonly #folder: string
  readonly #task: Task
  #timer: NodeJS.Timeout
  /** The last of the steps that write, which go one after another. */
  #step: Promise<void> = Promise.resolve()
  #isBusy = false
  #written: JobRecord | undefined
  #refusals = 0

  constructor(folder: string, task: Task) {
    this.#folder = folder
    this.#task = task
    this.#timer = setTimeout(() => {
      this.#do(() => this.#show())
    }, shownAfterMs)
  }

  /** Tells those who follow it how it has ended; whether others were told of it at all. */
  async end(outcome: JobRecord['outcome']): Promise<boolean> {
    clearTimeout(this.#timer)
    await this.#step
    clearInterval(this.#timer)
    if (this.#written === undefined) return false
    this.#do(() => this.#write({ ...this.#present(), outcome }))
    await this.#step
    if (this.#written.outcome === undefined) {
      // The disk may be full; without any record, those who follow it know that they can't know.
      this.#do(() => removeJob(this.#folder, this.token))
      await this.#step
    }
    return true
  }

  async #show(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    await this.#write(this.#present())
    this.#task.setToken(this.token)
    this.#timer = setInterval(() => {
      if (!this.#isBusy) this.#do(() => this.#renew())
    }, renewedEveryMs)
  }

  async #renew(): Promise<void> {
    const reason = await takeStopRequest(this.#folder, this.token)
    if (reason !== undefined) void this.#ask(reason)
    const present = this.#present()
    if (!isDeepStrictEqual(present, this.#written)) await this.#write(present)
  }

  async #ask(reason: string): Promise<void> {
    const isTaken = await this.#task.requestCancel(reason)
    if (!isTaken) this.#refusals += 1
  }

  #present(): JobRecord {
    const { operation, target, reported, isCancelable } = this.#task
    return {
      owner: ownIdentity(),
      operation,
      ...(target?.type === 'vm' && { vm: { id: target.id, name: target.name } }),
      progress: reported,
      isCancelable,
      refusals: this.#refusals,
    }
  }

  async #write(record: JobRecord): Promise<void> {
    await writeJob(this.#folder, this.token, record)
    this.#written = record
  }

  /** What can't be told to others is no reason for the job itself to fail. */
  #do(step: () => Promise<void>): void {
    this.#isBusy = true
    this.#step = this.#step
      .then(step)
      .catch((error: unknown) => {
        process.emitWarning(`Job ${this.token} can't be shown to others: ${String(error)}`, 'AwaitvmWarning')
      })
      .finally(() => {
        this.#isBusy = false
      })
  }
}
