import type { VmError } from '../errors.js'
import { JobCore } from './job-core.js'

type AnyCore = JobCore<unknown, VmError>

/** A job that ends with the values of all jobs, or with the first error. */
export function followAll(jobs: readonly AnyCore[]): JobCore<unknown[], VmError> {
  const all = new JobCore<unknown[], VmError>('job.all', undefined, jobs.find(({ failures }) => failures)?.failures)
  const values: unknown[] = new Array<unknown>(jobs.length)
  const unlisteners: (() => void)[] = []
  const total = jobs.length
  let done = 0
  let percents = 0
  let firstError: VmError | undefined
  let isCancelling = false

  const finish = (end: () => void): void => {
    for (const unlisten of unlisteners) unlisten()
    end()
  }
  const report = (): void => {
    all.report({ percent: percents / total, done, total, unit: 'jobs' })
  }
  const take = ({ result }: AnyCore, index: number): void => {
    if (result === undefined || all.isSettled) return
    done += 1
    if (result.isOk()) values[index] = result.value
    else firstError ??= result.error
    const error = firstError
    // While they are being cancelled, some may refuse: then the whole goes on until the last has ended.
    if (error !== undefined && (!isCancelling || done === total)) finish(() => all.fail(error))
    else if (done === total) finish(() => all.succeed(values))
    else report()
  }

  for (const [index, job] of jobs.entries()) {
    job.observe()
    let last = job.progress.percent
    percents += last
    if (job.isSettled) continue
    unlisteners.push(
      job.listen({
        onProgress({ percent }) {
          percents += percent - last
          last = percent
          report()
        },
        onSettled() {
          take(job, index)
        },
      }),
    )
  }
  all.cancellation.add(async (reason = 'all of its jobs were cancelled') => {
    isCancelling = true
    const verdicts = await Promise.all(jobs.map((job) => job.cancel({ by: 'caller', reason })))
    return verdicts.every(({ kind }) => kind === 'cancelled' || kind === 'finished')
  })
  if (total === 0) all.succeed([])
  for (const [index, job] of jobs.entries()) take(job, index)
  return all
}
