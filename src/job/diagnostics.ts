import { channel } from 'node:diagnostics_channel'
import type { Result } from 'neverthrow'
import type { VmError } from '../errors.js'
import type { JobTarget, OperationCode } from '../operations.js'
import type { Progress } from './progress.js'

/** The name of the channel of Node's `diagnostics_channel` on which every job is published. */
export const jobChannelName = 'awaitvm:job'

/** A message on the channel `awaitvm:job`. */
export interface JobEvent {
  /** What happened to the job. */
  readonly type: 'start' | 'progress' | 'end'
  /** As `job.id`. */
  readonly id: string
  /** As `job.operation`. */
  readonly operation: OperationCode
  /** As `job.target`. */
  readonly target: JobTarget | undefined
  /** When the job began. */
  readonly startedAt: Date
  /** How far the job has come. */
  readonly progress: Progress
  /** When the job ended; with `'end'` only. */
  readonly finishedAt?: Date | undefined
  /** How the job ended; with `'end'` only. */
  readonly result?: Result<unknown, VmError> | undefined
}

interface Publishable {
  readonly number: number
  readonly operation: OperationCode
  readonly target: JobTarget | undefined
  readonly startedAtMs: number
  readonly finishedAtMs: number | undefined
  readonly progress: Progress
  readonly result: Result<unknown, VmError> | undefined
}

const jobs = channel(jobChannelName)

export const jobId = (number: number): string => `job-${String(number)}`

/** Costs one comparison while nobody listens. */
export function publishJobEvent(type: JobEvent['type'], job: Publishable): void {
  if (!jobs.hasSubscribers) return
  const { number, operation, target, startedAtMs, finishedAtMs, progress, result } = job
  const event: JobEvent = {
    type,
    id: jobId(number),
    operation,
    target,
    startedAt: new Date(startedAtMs),
    progress,
    ...(finishedAtMs !== undefined && { finishedAt: new Date(finishedAtMs), result }),
  }
  jobs.publish(event)
}
