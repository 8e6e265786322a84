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

export interface CreateJobOptions extends JobOptions {
  /** `'vm.start'` if absent. */
  readonly operation?: OperationCode | undefined
  readonly target?: JobTarget | undefined
}

const isOperation = (code: unknown): boolean => typeof code === 'string' && Object.hasOwn(operations, code)
const readOptions = methodOptions({
  operation: optional(v.custom<OperationCode>(isOperation, 'must be the code of an operation, such as "vm.start"')),
  target: unchecked<JobTarget>(),
})

/** A job and the strings that move it. */
export interface JobInHand<T, E extends VmError> {
  readonly job: Job<T, E>
  /** Ends the job with a value; it does nothing once the job has ended, and so does `fail`. */
  succeed(value: T): void
  fail(error: E): void
  progress(update: ProgressUpdate): void
  /** What a driver is given: the signal, `cancelWith`, `setToken`. */
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
