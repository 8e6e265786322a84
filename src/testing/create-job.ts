import type { ProgressUpdate, Task } from '../driver.js'
import type { VmError } from '../errors.js'
import { JobCore } from '../job/job-core.js'
import { applyOptions, type JobOptions } from '../job/job-options.js'
import { JobTask } from '../job/job-task.js'
import { Job } from '../job/job.js'
import type { JobTarget, OperationCode } from '../operations.js'

export interface CreateJobOptions extends JobOptions {
  /** `'vm.start'` if absent. */
  readonly operation?: OperationCode | undefined
  readonly target?: JobTarget | undefined
}

/** A job and the strings that move it. */
export interface JobInHand<T, E extends VmError> {
  readonly job: Job<T, E>
  /** Ends the job with a value; it does nothing once the job has ended, and so does `fail`. */
  succeed(value: T): void
  fail(error: E): void
  progress(update: ProgressUpdate): void
  /** What a driver is given: the signal, `cancelWith`, `setReachable`. */
  readonly task: Task
}

/**
 * A job that a test moves by hand, with no host behind it.
 *
 * @example
 * ```ts
 * import { createJob } from 'awaitvm/testing'
 *
 * const { job, progress, succeed } = createJob<string>()
 * progress({ percent: 50 })
 * succeed('done')
 * console.log((await job).isOk())
 * ```
 */
export function createJob<T = void, E extends VmError = VmError>(options: CreateJobOptions = {}): JobInHand<T, E> {
  const core = new JobCore<T, E>(options.operation ?? 'vm.start', options.target)
  const refusal = applyOptions(core, options)
  if (refusal !== undefined) core.fail(refusal as E)
  return {
    job: new Job(core),
    task: new JobTask(core),
    succeed: (value) => {
      core.succeed(value)
    },
    fail: (error) => {
      core.fail(error)
    },
    progress: (update) => {
      core.report(update)
    },
  }
}
