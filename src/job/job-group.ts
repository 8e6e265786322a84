import { ok, type Err, type Result } from 'neverthrow'
import type { VmError } from '../errors.js'
import { JobCore } from './job-core.js'

type AnyCore = JobCore<unknown, VmError>
type AnyResult = Result<unknown, VmError>

/** How the members of a group stand when one more of them has ended. */
interface Standing {
  /** The outcomes in the order of the list; a member that still runs has none. */
  readonly results: readonly (AnyResult | undefined)[]
  /** The first to end, the first that succeeded, and the first that failed. */
  readonly first: AnyResult | undefined
  readonly firstOk: AnyResult | undefined
  readonly firstErr: Err<unknown, VmError> | undefined
  readonly hasEnded: boolean
}

/** A way to make one job of several. */
export interface Grouping {
  readonly operation: 'job.all' | 'job.any' | 'job.race' | 'job.settled'
  /** How far the whole has come, of how far its members have. */
  readonly percent: 'mean' | 'most'
  /** What the whole ends with, if it does by now. */
  readonly outcome: (standing: Standing) => AnyResult | undefined
}

/** The values of all, or the first error. */
export const all: Grouping = {
  operation: 'job.all',
  percent: 'mean',
  outcome: ({ results, firstErr, hasEnded }) => {
    if (firstErr !== undefined || !hasEnded) return firstErr
    return ok(results.map((result) => result?.unwrapOr(undefined)))
  },
}

/** The first value; if all fail, the error of the first in the list. */
export const any: Grouping = {
  operation: 'job.any',
  percent: 'most',
  outcome: ({ results, firstOk, hasEnded }) => firstOk ?? (hasEnded ? results[0] : undefined),
}

/** The first outcome, value or error. */
export const race: Grouping = {
  operation: 'job.race',
  percent: 'most',
  outcome: ({ first }) => first,
}

/** The outcome of each. */
export const settled: Grouping = {
  operation: 'job.settled',
  percent: 'mean',
  outcome: ({ results, hasEnded }) => (hasEnded ? ok(results) : undefined),
}

/** One job that stands for all of them. It listens to them until it has ended, and leaves nothing behind. */
export function follow(jobs: readonly AnyCore[], { operation, percent, outcome }: Grouping): AnyCore {
  const group: AnyCore = new JobCore(operation, undefined, jobs.find(({ failures }) => failures)?.failures)
  const unlisteners: (() => void)[] = []
  const results = new Array<AnyResult | undefined>(jobs.length)
  const percents = jobs.map((job) => job.progress.percent)
  const total = jobs.length
  let sum = percents.reduce((before, value) => before + value, 0)
  let most = percents.reduce((before, value) => Math.max(before, value), 0)
  let done = 0
  let first: AnyResult | undefined
  let firstOk: AnyResult | undefined
  let firstErr: Err<unknown, VmError> | undefined
  let isCancelling = false
  let isCancelled = false

  const report = (): void => {
    group.report({ percent: percent === 'mean' ? sum / total : most, done, total, unit: 'jobs' })
  }
  const conclude = (): void => {
    const hasEnded = done === total
    const result = outcome({ results, first, firstOk, firstErr, hasEnded })
    // While they are being cancelled, some may refuse: then the whole goes on until the last has ended.
    if (result === undefined || (result.isErr() && isCancelling && !hasEnded)) {
      report()
      return
    }
    for (const unlisten of unlisteners) unlisten()
    if (result.isErr()) group.fail(result.error)
    else if (isCancelled) group.succeedInPart(result.value, firstErr?.error)
    else group.succeed(result.value, firstErr?.error)
  }
  const take = ({ result }: AnyCore, index: number): void => {
    if (result === undefined || group.isSettled) return
    done += 1
    results[index] = result
    first ??= result
    if (result.isOk()) firstOk ??= result
    else {
      firstErr ??= result
      if (isCancelling && result.error.code === 'JOB_CANCELLED') isCancelled = true
    }
    conclude()
  }

  for (const [index, job] of jobs.entries()) {
    job.observe()
    if (job.isSettled) continue
    unlisteners.push(
      job.listen({
        onProgress(progress) {
          sum += progress.percent - (percents[index] ?? 0)
          percents[index] = progress.percent
          most = Math.max(most, progress.percent)
          report()
        },
        onSettled() {
          take(job, index)
        },
      }),
    )
  }
  group.cancellation.add(async (reason = 'all of its jobs were cancelled') => {
    isCancelling = true
    const verdicts = await Promise.all(jobs.map((job) => job.cancel({ by: 'caller', reason })))
    return verdicts.every(({ kind }) => kind === 'cancelled' || kind === 'finished')
  })
  if (total === 0) conclude()
  for (const [index, job] of jobs.entries()) take(job, index)
  return group
}
