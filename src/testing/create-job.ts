import * as v from 'valibot'
import type { Task } from '../driver/task.js'
import type { ProgressUpdate } from '../model/host-job.js'
import type { VmError } from '../errors.js'
import { JobCore } from '../job/job-core.js'
import { applyOptions, methodOptions, type JobOptions } from '../job/job-options.js'
import { JobTask } from '../job/job-task.js'
import { Job } from '../job/job.js'
import { optional, unchecked } from '../model/schema.js'
import { operations, type JobTarget, type OperationCode } from '../operations.js'

/** What {@link createJob} takes: the options of any job, and what the job says that it is. */
export interface CreateJobOptions extends JobOptions {
  /** The operation that the job says it is; `'vm.start'` if absent. */
  readonly operation?: OperationCode | undefined
  /** What the job says that it works on; nothing if absent. */
  readonly target?: JobTarget | undefined
}

const isOperation = (code: unknown): boolean => typeof code === 'string' && Object.hasOwn(operations, code)
const readOptions = methodOptions({
  operation: optional(v.custom<OperationCode>(isOperation, 'must be the code of an operation, such as "vm.start"')),
  target: unchecked<JobTarget>(),
})

/** A job, and the functions that move it. */
export interface JobInHand<T, E extends VmError> {
  /** The job, as the code under test gets it. */
  readonly job: Job<T, E>
  /** Ends the job with a value. Does nothing if the job has ended. */
  succeed(value: T): void
  /** Ends the job with an error. Does nothing if the job has ended. */
  fail(error: E): void
  /** Reports progress. Does nothing if the job has ended. */
  progress(update: ProgressUpdate): void
  /** What a driver is given: the signal, `cancelWith`, `setToken`. */
  readonly task: Task
}

/**
 * Makes a job that a test moves by hand, with no host behind it. Wrong options give a job that has failed with
 * `INVALID_ARGUMENT`.
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
export function createJob<T = void, E extends VmError = VmError>(options?: CreateJobOptions): JobInHand<T, E> {
  const { own, job } = readOptions(options)
  const { operation = 'vm.start', target } = own.unwrapOr({ operation: undefined, target: undefined })
  const core = new JobCore<T, E>(operation, target)
  const refusal = own.isErr() ? own.error : applyOptions(core, job ?? {})
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
