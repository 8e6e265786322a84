import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { ProgressUpdate } from '../model/host-job.js'
import { InvalidArgumentError, OutcomeUnknownError } from '../errors.js'
import { readError } from '../errors/written-error.js'
import { isJobToken, readJob, requestStop, type JobRecord } from './job-record.js'
import type { Membership } from './membership.js'

const pollMs = 100

/** The outcome of a followed job that succeeded. */
export interface FollowedOutcome {
  readonly operation: JobRecord['operation']
  readonly vm: JobRecord['vm']
  /** The state that it led to, or the id of what it made. */
  readonly answer: string | undefined
}

/** What a job must offer to show a job of another process. */
export interface FollowingTask {
  setToken(token: string): void
  progress(update: ProgressUpdate): void
  cancelWith(handler: (reason: string | undefined) => Promise<boolean>): () => void
  /** Notes that another process has asked to stop the job, and that the request was taken. */
  noteCancel(reason: string): void
}

/** Follows a job of another process, or of another connection of this process. */
export class JobFollower {
  readonly #folder: string
  readonly #token: string
  readonly #task: FollowingTask
  readonly #member: Membership
  #seen: JobRecord | undefined
  #forget: (() => void) | undefined
  /** Resolves the pending request to stop. */
  #answerRequest: ((isTaken: boolean) => void) | undefined

  constructor(
    folder: string,
    token: string,
    { task, member }: { readonly task: FollowingTask; readonly member: Membership },
  ) {
    this.#folder = folder
    this.#token = token
    this.#member = member
    this.#task = task
  }

  /** Follows the job to its end, and ends in the same way. If the job's process dies, the outcome is unknown. */
  async follow(signal: AbortSignal): Promise<FollowedOutcome> {
    let record = this.#read()
    if (record === undefined) throw unknownToken(this.#token)
    this.#task.setToken(this.#token)
    try {
      for (;;) {
        this.#see(record)
        if (record.outcome !== undefined) return this.#outcomeOf(record, record.outcome)
        const isOwned = this.#member.isAlive(record.owner)
        if (isOwned) await delay(pollMs, undefined, { signal })
        // A process that died may have written the outcome just before.
        const next = this.#read()
        if (next === undefined || (!isOwned && next.outcome === undefined)) throw outcomeUnknown(record)
        record = next
      }
    } finally {
      this.#forget?.()
      this.#answerRequest?.(true)
    }
  }

  #read(): JobRecord | undefined {
    return isJobToken(this.#token) ? readJob(this.#folder, this.#token) : undefined
  }

  #see(record: JobRecord): void {
    const before = this.#seen
    this.#seen = record
    if (!isDeepStrictEqual(before?.progress, record.progress)) this.#task.progress(record.progress)
    if (before !== undefined && record.refusals > before.refusals) this.#answerRequest?.(false)
    if (record.isCancelable) this.#forget ??= this.#task.cancelWith((reason) => this.#stop(reason))
    else {
      this.#forget?.()
      this.#forget = undefined
    }
  }

  #outcomeOf({ operation, vm }: JobRecord, outcome: NonNullable<JobRecord['outcome']>): FollowedOutcome {
    if (outcome.kind === 'succeeded') return { operation, vm, answer: outcome.answer }
    const error = readError(outcome.error)
    // The owner writes that only if somebody asked for it.
    if (error.code === 'JOB_CANCELLED') this.#task.noteCancel(error.reason)
    throw error
  }

  async #stop(reason = 'a follower cancelled it'): Promise<boolean> {
    const answered = new Promise<boolean>((resolve) => {
      this.#answerRequest = resolve
    })
    requestStop(this.#folder, this.#token, reason)
    return answered
  }
}

const unknownToken = (token: string): InvalidArgumentError =>
  new InvalidArgumentError({
    path: 'token',
    reason: `the host has no job with the token ${JSON.stringify(token)}, or no longer`,
    hint: 'server.getJobs() lists the jobs under way.',
  })

const outcomeUnknown = ({ owner: { pid } }: JobRecord): OutcomeUnknownError =>
  new OutcomeUnknownError({
    reason: `the process ${String(pid)} did not record its outcome`,
    hint: 'Ask for the state of the VM. The next operation on it finishes or undoes what was left half done.',
  })
