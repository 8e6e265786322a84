import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { hostClockMs, wallClockMs } from '../clock.js'
import type { HostJob } from '../model/host-job.js'
import { cancelledUnasked } from '../errors/cancelled.js'
import { inBackground } from '../background.js'
import { errorCode } from '../errors/native.js'
import { writeError } from '../errors/written-error.js'
import { OutcomeUnknownError, type VmError } from '../errors.js'
import { JobFollower, type FollowedOutcome, type FollowingTask } from './job-follower.js'
import {
  isJobToken,
  readJob,
  removeJob,
  tokenOfRecord,
  writeJob,
  type EndRecord,
  type JobRecord,
  type ProgramRecord,
} from './job-record.js'
import { KeptJob, type KeptTask } from './kept-job.js'
import type { Membership } from './membership.js'
import { namesIn } from './names-in.js'
import { isNewer } from './written-json.js'

/** How long the outcome of a job is kept. Followers poll far more often. */
const keptMs = 60_000
/** How long that of a program is kept, which its guest keeps as long: one hour. */
const keptProgramMs = 3_600_000
/** How often jobs are tended, and how many at a time, so that any number of jobs takes about 1 % of a processor. */
const tendedEveryMs = 100
const tendedAtOnce = 10

/**
 * The jobs in a directory of VMs, of all processes. A job that lasts longer than a moment has a file there, until some time after
 * its end.
 *
 * ```
 * jobs/TOKEN.json    the operation, its process and its progress; in the end the outcome
 * jobs/TOKEN.cancel  a request to stop the job
 * ```
 */
export class JobLedger {
  readonly #folder: string
  readonly #driver: string
  readonly #explain: (error: unknown) => VmError
  readonly #hasGuest: (vm: string) => Promise<boolean>
  readonly #member: Membership
  /** The jobs of this connection by token, the one that was tended last at the end. */
  readonly #own = new Map<string, KeptJob>()
  #timer: NodeJS.Timeout | undefined
  readonly #closing = new AbortController()
  #lastSweep = Number.NEGATIVE_INFINITY

  /**
   * @param explain turns an error of the work into the one that other processes read
   * @param hasGuest whether the guest of a VM runs, or will go on, with the programs that it keeps
   */
  constructor(
    directory: { readonly root: string; readonly member: Membership },
    driver: string,
    explain: (error: unknown) => VmError,
    hasGuest: (vm: string) => Promise<boolean>,
  ) {
    this.#hasGuest = hasGuest
    this.#folder = join(directory.root, 'jobs')
    this.#member = directory.member
    this.#driver = driver
    this.#explain = explain
  }

  /** Runs the work of a job, and shows it to other processes. */
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

  /** The jobs under way, without those of this connection and those of a newer awaitvm. */
  async list(): Promise<HostJob[]> {
    const jobs: HostJob[] = []
    for (const name of await namesIn(this.#folder)) {
      const token = tokenOfRecord(name)
      if (token === undefined || this.#own.has(token)) continue
      const record = this.#read(token)
      if (record === undefined || record === 'newer') continue
      if (record.outcome !== undefined || !(await this.#isUnderWay(record))) continue
      const { operation, vm, progress } = record
      jobs.push({ token, operation, vm, progress })
    }
    return jobs
  }

  /** Shows a program that its guest is to keep, before it is started. Returns its token. */
  keepProgram(vm: NonNullable<JobRecord['vm']>, program: Omit<ProgramRecord, 'isStarting'>): string {
    const token = randomUUID()
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    writeJob(this.#folder, token, {
      owner: this.#member.identity,
      operation: 'guest.exec',
      vm,
      program: { ...program, isStarting: true },
      progress: {},
      isCancelable: true,
      refusals: 0,
    })
    return token
  }

  /** Notes that the program was started, or may have been. */
  programHasStarted(token: string): void {
    const record = this.programOf(token)
    if (record?.program === undefined || record.outcome !== undefined) return
    writeJob(this.#folder, token, { ...record, program: { ...record.program, isStarting: false } })
  }

  /** Whether the process that starts the program is still at it. */
  isStarting(token: string): boolean {
    const record = this.programOf(token)
    return record?.program?.isStarting === true && this.#member.isAlive(record.owner)
  }

  /** The record of a program that its guest keeps. */
  programOf(token: string): JobRecord | undefined {
    const record = isJobToken(token) ? readJob(this.#folder, token) : undefined
    return record?.program === undefined ? undefined : record
  }

  /** Writes down what became of a program, if nobody did yet. */
  endProgram(token: string, ended: { readonly error: unknown } | { readonly end: EndRecord }): void {
    const record = this.programOf(token)
    if (record === undefined || record.outcome !== undefined) return
    const outcome: JobRecord['outcome'] =
      'end' in ended
        ? { kind: 'succeeded', end: { exitCode: ended.end.exitCode, signal: ended.end.signal } }
        : { kind: 'failed', error: writeError(this.#driver, this.#explain(ended.error)) }
    writeJob(this.#folder, token, { ...record, endedAt: hostClockMs(), outcome })
    inBackground('Removing jobs that have ended', () => this.#sweep())
  }

  /** Forgets a program that its guest does not have. */
  forgetProgram(token: string): void {
    removeJob(this.#folder, token)
  }

  follow(token: string, task: FollowingTask): Promise<FollowedOutcome> {
    return new JobFollower(this.#folder, token, { task, member: this.#member }).follow(this.#closing.signal)
  }

  /** Ends the following of jobs. */
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
    // The job does not wait for the removal of old files.
    inBackground('Removing jobs that have ended', () => this.#sweep())
  }

  /** Removes records that nobody reads any more. */
  async #sweep(): Promise<void> {
    const now = performance.now()
    if (now - this.#lastSweep < keptMs) return
    this.#lastSweep = now
    for (const name of await namesIn(this.#folder)) {
      const path = join(this.#folder, name)
      const token = tokenOfRecord(name)
      try {
        if (wallClockMs() - (await stat(path)).mtimeMs < keptMs) continue
        if (token !== undefined && (await this.#isWanted(token))) continue
        await rm(path, { force: true })
      } catch (error) {
        // Another process sweeps, too.
        if (errorCode(error) !== 'ENOENT') throw error
      }
    }
  }

  /**
   * Whether the job is under way, or ended a short time ago. The time of its file is not enough: the system's clock may have been
   * set forward. A damaged record is of no use. The record of a newer awaitvm is left for that version to remove.
   */
  async #isWanted(token: string): Promise<boolean> {
    let record: JobRecord | 'newer' | undefined
    try {
      record = this.#read(token)
    } catch {
      return false
    }
    if (record === undefined || record === 'newer') return record === 'newer'
    if (record.outcome === undefined) return await this.#isUnderWay(record)
    const agoMs = hostClockMs() - (record.endedAt ?? 0)
    return agoMs >= 0 && agoMs < (record.program === undefined ? keptMs : keptProgramMs)
  }

  async #isUnderWay({ owner, vm, program }: JobRecord): Promise<boolean> {
    return program === undefined || vm === undefined ? this.#member.isAlive(owner) : await this.#hasGuest(vm.id)
  }

  #read(token: string): JobRecord | 'newer' | undefined {
    try {
      return readJob(this.#folder, token)
    } catch (error) {
      if (isNewer(error)) return 'newer'
      throw error
    }
  }
}

/** The part of an operation's output that is kept: the state that it led to, or the id of what it created. */
function answerOf(output: unknown): string | undefined {
  if (typeof output === 'string') return output
  return typeof output === 'object' && output !== null && 'id' in output && typeof output.id === 'string'
    ? output.id
    : undefined
}
