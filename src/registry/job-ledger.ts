import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { hostClockMs, wallClockMs } from '../clock.js'
import type { HostJob } from '../model/host-job.js'
import { cancelledUnasked } from '../errors/cancelled.js'
import { inBackground } from '../background.js'
import { errorCode } from '../errors/native.js'
import { writeError } from '../errors/written-error.js'
import { OutcomeUnknownError, type VmError } from '../errors.js'
import { JobFollower, type FollowedJob, type FollowingTask } from './job-follower.js'
import { readJob, tokenOfRecord, type JobRecord } from './job-record.js'
import { KeptJob, type KeptTask } from './kept-job.js'
import type { Membership } from './membership.js'
import { isNewer } from './written-json.js'

/** How long the outcome of a job is kept: who follows it looks many times as often. */
const keptMs = 60_000
/** How often jobs are tended, and how many at a time: however many there are, it takes some 1 % of a processor. */
const tendedEveryMs = 100
const tendedAtOnce = 10

/**
 * The jobs of a directory of VMs, whichever process works on them: each that lasts longer than a moment is a file there, until a
 * while after its end.
 *
 * ```
 * jobs/TOKEN.json    what is done, by whom and how far it is; at last how it ended
 * jobs/TOKEN.cancel  somebody asks for it to be stopped
 * ```
 */
export class JobLedger {
  readonly #folder: string
  readonly #driver: string
  readonly #explain: (error: unknown) => VmError
  readonly #member: Membership
  /** Those of this connection by their tokens, the one that was tended last behind all others. */
  readonly #own = new Map<string, KeptJob>()
  #timer: NodeJS.Timeout | undefined
  readonly #closing = new AbortController()
  #lastSweep = Number.NEGATIVE_INFINITY

  /** @param explain an error of the work as others are to be told of it */
  constructor(
    directory: { readonly root: string; readonly member: Membership },
    driver: string,
    explain: (error: unknown) => VmError,
  ) {
    this.#folder = join(directory.root, 'jobs')
    this.#member = directory.member
    this.#driver = driver
    this.#explain = explain
  }

  /** Does the work of a job where others can see it. */
  async keep<T>(task: KeptTask, work: () => Promise<T>): Promise<T> {
    const job = new KeptJob(this.#folder, task, this.#member.identity)
    this.#own.set(job.token, job)
    this.#timer ??= setInterval(() => {
      this.#tend()
    }, tendedEveryMs)
    try {
      const output = await work().catch((error: unknown) => {
        this.#end(job, { kind: 'failed', error: writeError(this.#driver, this.#failureOf(error, task)) })
        throw error
      })
      this.#end(job, { kind: 'succeeded', answer: answerOf(output) })
      return output
    } finally {
      this.#own.delete(job.token)
      if (this.#own.size === 0) {
        clearInterval(this.#timer)
        this.#timer = undefined
      }
    }
  }

  /** Those under way, but for those of this connection and those that only a newer awaitvm knows. */
  async list(): Promise<HostJob[]> {
    const jobs: HostJob[] = []
    for (const name of await this.#files()) {
      const token = tokenOfRecord(name)
      if (token === undefined || this.#own.has(token)) continue
      const record = this.#read(token)
      if (record === undefined || record === 'newer') continue
      if (record.outcome !== undefined || !this.#member.isAlive(record.owner)) continue
      const { operation, vm, progress } = record
      jobs.push({ token, operation, vm, progress })
    }
    return jobs
  }

  follow(token: string, task: FollowingTask): Promise<FollowedJob> {
    return new JobFollower(this.#folder, token, { task, member: this.#member }).follow(this.#closing.signal)
  }

  /** Follows nothing any more. */
  close(): void {
    this.#closing.abort(new OutcomeUnknownError({ reason: 'the server was closed' }))
  }

  #failureOf(error: unknown, { isAskedToStop }: KeptTask): VmError {
    const failure = this.#explain(error)
    return failure.code === 'JOB_CANCELLED' && !isAskedToStop ? cancelledUnasked(this.#driver, failure) : failure
  }

  #tend(): void {
    const due = [...this.#own.values()].filter((job) => job.hasLasted).slice(0, tendedAtOnce)
    for (const job of due) {
      this.#own.delete(job.token)
      this.#own.set(job.token, job)
      job.tend()
    }
  }

  #end(job: KeptJob, outcome: Parameters<KeptJob['end']>[0]): void {
    if (!job.end(outcome)) return
    // The job does not wait for what others have left.
    inBackground('Removing jobs that have ended', () => this.#sweep())
  }

  /** Removes what nobody comes for any more. */
  async #sweep(): Promise<void> {
    const now = performance.now()
    if (now - this.#lastSweep < keptMs) return
    this.#lastSweep = now
    for (const name of await this.#files()) {
      const path = join(this.#folder, name)
      const token = tokenOfRecord(name)
      try {
        if (wallClockMs() - (await stat(path)).mtimeMs < keptMs) continue
        if (token !== undefined && this.#isWanted(token)) continue
        await rm(path, { force: true })
      } catch (error) {
        // Somebody else sweeps, too.
        if (errorCode(error) !== 'ENOENT') throw error
      }
    }
  }

  /**
   * Whether the job is under way, or ended a short time ago; its file looks older once the system's clock was set forward. A
   * record that is damaged is of no use to anyone; one of a newer awaitvm is removed by that.
   */
  #isWanted(token: string): boolean {
    let record: JobRecord | 'newer' | undefined
    try {
      record = this.#read(token)
    } catch {
      return false
    }
    if (record === undefined || record === 'newer') return record === 'newer'
    if (record.outcome === undefined) return this.#member.isAlive(record.owner)
    const agoMs = hostClockMs() - (record.endedAt ?? 0)
    return agoMs >= 0 && agoMs < keptMs
  }

  #read(token: string): JobRecord | 'newer' | undefined {
    try {
      return readJob(this.#folder, token)
    } catch (error) {
      if (isNewer(error)) return 'newer'
      throw error
    }
  }

  async #files(): Promise<string[]> {
    try {
      return await readdir(this.#folder)
    } catch (error) {
      // The first job that lasts makes it.
      if (errorCode(error) === 'ENOENT') return []
      throw error
    }
  }
}

/** What there is to say of what an operation has answered: the state that it led to, or the id of what it made. */
function answerOf(output: unknown): string | undefined {
  if (typeof output === 'string') return output
  return typeof output === 'object' && output !== null && 'id' in output && typeof output.id === 'string'
    ? output.id
    : undefined
}
