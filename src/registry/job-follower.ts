import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { ProgressUpdate } from '../model/host-job.js'
import { InvalidArgumentError, OutcomeUnknownError } from '../errors.js'
import { readError } from '../errors/written-error.js'
import { isJobToken, readJob, requestStop, type JobRecord } from './job-record.js'
import type { Membership } from './membership.js'

const pollMs = 100

/** How a followed job has ended well. */
export interface FollowedJob {
  readonly operation: JobRecord['operation']
  readonly vm: JobRecord['vm']
  /** The state that it led to, or the id of what it made. */
  readonly answer: string | undefined
}

/** What is needed of a job that shows another one, which somebody else works on. */
export interface FollowingTask {
  setToken(token: string): void
  progress(update: ProgressUpdate): void
  cancelWith(handler: (reason: string | undefined) => Promise<boolean>): () => void
  /** Tells that somebody elsewhere has asked for the job to be stopped, and that the request was taken. */
  noteCancel(reason: string): void
}

/** A job that another process works on, or another connection of this one. */
export class JobFollower {
  readonly #folder: string
  readonly #token: string
  readonly #task: FollowingTask
  readonly #member: Membership
  #seen: JobRecord | undefined
  #forget: (() => void) | undefined
  /** Waits for what becomes of a request to stop. */
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

  /** Follows it to its end, which it shares; whoever works on it may die, and then nobody can say how it ended. */
  async follow(signal: AbortSignal): Promise<FollowedJob> {
    let record = this.#read()
    if (record === undefined) throw unknownToken(this.#token)
    this.#task.setToken(this.#token)
    try {
      for (;;) {
        this.#see(record)
        if (record.outcome !== undefined) return this.#outcomeOf(record, record.outcome)
        const isOwned = this.#member.isAlive(record.owner)
        if (isOwned) await delay(pollMs, undefined, { signal })
        // One that has died may have told the outcome as the last that it did.
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

  #outcomeOf({ operation, vm }: JobRecord, outcome: NonNullable<JobRecord['outcome']>): FollowedJob {
    if (outcome.kind === 'succeeded') return { operation, vm, answer: outcome.answer }
    const error = readError(outcome.error)
    // Its owner writes that only where somebody has asked for it.
    if (error.code === 'JOB_CANCELLED') this.#task.noteCancel(error.reason)
    throw error
  }

  async #stop(reason = 'somebody who follows it cancelled it'): Promise<boolean> {
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
    reason: `the host knows no job of the token ${JSON.stringify(token)}, or not any more`,
    hint: 'server.getJobs() tells which are under way.',
  })

const outcomeUnknown = ({ owner: { pid } }: JobRecord): OutcomeUnknownError =>
  new OutcomeUnknownError({
    reason: `the process ${String(pid)} has not told how it ended`,
    hint: 'Ask for the state of the VM: what was half done is finished or undone by whoever works on it next.',
  })
