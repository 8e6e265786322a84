import { setTimeout as delay } from 'node:timers/promises'
import * as v from 'valibot'
import { JobCancelledError, ProtocolError } from '../../../errors.js'
import type { QmpClient } from './qmp-client.js'
import { QmpCommandError } from './qmp-errors.js'

const jobSchema = v.object({
  id: v.string(),
  status: v.string(),
  'current-progress': v.number(),
  'total-progress': v.number(),
  error: v.optional(v.string()),
})
const jobsSchema = v.array(jobSchema)

type QemuJob = v.InferOutput<typeof jobSchema>

export interface JobRun {
  /** QEMU's id of the job, which begins with a letter. */
  readonly id: string
  readonly command: string
  readonly args: Readonly<Record<string, unknown>>
  /** True if the command blocks QEMU's main loop, so that it answers nothing until it is done. */
  readonly isBlocking?: boolean | undefined
}

/** How often to ask for the progress if no event comes. */
const pollMs = 100
/** Enough to save a guest with much memory on a slow disk. */
const blockingTimeoutMs = 60 * 60 * 1000

/** Starts a job of QEMU, and follows it to its end. */
export async function runJob(
  client: QmpClient,
  { id, command, args, isBlocking = false }: JobRun,
  options: JobFollowing = {},
): Promise<void> {
  const timeoutMs = isBlocking ? blockingTimeoutMs : undefined
  await client.execute(command, { 'job-id': id, ...args }, { timeoutMs })
  await followJobs(client, [id], options)
}

export interface JobFollowing {
  /** Aborting it asks QEMU to cancel. */
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/** Follows jobs until all have ended, and dismisses them. A failure of one cancels the others. */
export async function followJobs(
  client: QmpClient,
  ids: readonly string[],
  { signal, onProgress }: JobFollowing = {},
): Promise<void> {
  const left = new Map(ids.map((id): [string, QemuJob | undefined] => [id, undefined]))
  let failure: string | undefined
  let isCancelled = false
  for (;;) {
    const change = new AbortController()
    const forget = client.onEvent(({ name }) => {
      if (name === 'JOB_STATUS_CHANGE') change.abort()
    })
    try {
      for (const job of v.parse(jobsSchema, await client.execute('query-jobs'))) {
        if (!left.has(job.id)) continue
        left.set(job.id, job)
        if (job.status !== 'concluded') continue
        failure ??= job.error
        await client.execute('job-dismiss', { id: job.id })
        left.delete(job.id)
      }
      report(left, onProgress)
      if (left.size === 0) break
      if (!isCancelled && (signal?.aborted === true || failure !== undefined)) {
        isCancelled = true
        for (const id of left.keys()) await cancel(client, id)
      }
      await delay(pollMs, undefined, { signal: change.signal }).catch(() => undefined)
    } finally {
      forget()
    }
  }
  if (failure === undefined) return
  if (signal?.aborted === true && failure === 'Operation canceled') {
    throw new JobCancelledError({ reason: 'it was cancelled', cause: signal.reason })
  }
  throw new QmpCommandError('query-jobs', 'GenericError', failure)
}

function report(jobs: ReadonlyMap<string, QemuJob | undefined>, onProgress: JobFollowing['onProgress']): void {
  let done = 0
  let total = 0
  for (const job of jobs.values()) {
    done += job?.['current-progress'] ?? 0
    total += job?.['total-progress'] ?? 0
  }
  if (total > 0) onProgress?.(done, total)
}

/** A job that has just ended accepts no command. */
async function cancel(client: QmpClient, id: string): Promise<void> {
  try {
    await client.execute('job-cancel', { id })
  } catch (error) {
    if (!(error instanceof QmpCommandError)) throw error
    if (!/not found|in state/.test(error.message)) {
      throw new ProtocolError({ reason: `QEMU does not cancel a job of its own: ${error.message}`, cause: error })
    }
  }
}
