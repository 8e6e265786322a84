import { err, type Result } from 'neverthrow'
import { hostTask, type HostTask } from '../driver/host-task.js'
import type { Task } from '../driver/task.js'
import { JobCancelledError, type VmError } from '../errors.js'
import { JobRef, type Job } from './job.js'

interface StepOptions {
  /** What the step does, for people; its job may say it in other words. */
  readonly phase: string
  /** The part of the whole that the step is, in percent. */
  readonly share: readonly [from: number, to: number]
  /**
   * A request to stop that this step refuses is refused. If another step may follow, the request is taken all the same: the step ends
   * as it does, and no other one begins.
   */
  readonly isLast?: true
}

/** Makes one job of several that run one after another. */
export class JobSteps {
  readonly #task: HostTask

  constructor(task: Task) {
    this.#task = hostTask(task)
  }

  /** Runs one of the jobs, unless the whole was asked to stop. Its progress is a part of that of the whole. */
  async run<T>(begin: () => Job<T>, { phase, share, isLast }: StepOptions): Promise<Result<T, VmError>> {
    const task = this.#task
    if (task.isAskedToStop) return err(new JobCancelledError({ reason: 'it was cancelled between two of its steps' }))
    const [from, to] = share
    task.progress({ percent: from, phase })
    const job = begin()
    const core = JobRef.coreOf(job)
    core.listen({
      onProgress: ({ percent, ...progress }) => {
        task.progress({ ...progress, percent: from + (percent * (to - from)) / 100 })
      },
    })
    const endOfCancelling = task.cancelWith(async (reason = 'the caller cancelled it') => {
      const { kind } = await core.cancel({ by: 'caller', reason })
      return isLast !== true || kind !== 'refused'
    })
    try {
      const result = await job
      // Another process may have cancelled the step.
      if (result.isErr() && result.error.code === 'JOB_CANCELLED') {
        task.noteCancel(result.error.reason)
      }
      return result
    } finally {
      endOfCancelling()
    }
  }
}
