import type { ProgressUpdate } from '../model/host-job.js'

/** How the items of a batch stand; their sum is the number of those that have been taken from the list so far. */
export interface ItemCounts {
  /** They wait for their turn, or to be tried again. */
  readonly queued: number
  /** They are being worked on. */
  readonly running: number
  /** They ended with a value. */
  readonly succeeded: number
  /** They ended with an error, after the last attempt. */
  readonly failed: number
  /** Stopped, or never started. */
  readonly cancelled: number
}

/** How far a job has come. */
export interface Progress {
  /** 0 to 100; never falls. 100 only once the job has succeeded. */
  readonly percent: number
  /** What it is doing, in the host's words; `'queued'` while it waits for the limit of operations at once. */
  readonly phase?: string | undefined
  /** How much of `total` is done, in `unit`. */
  readonly done?: number | undefined
  /** All that there is to do, in `unit`; absent if the host does not know. */
  readonly total?: number | undefined
  /** What `done` and `total` count, as the host says it: `'bytes'`. */
  readonly unit?: string | undefined
  /** Of a batch only. */
  readonly items?: ItemCounts | undefined
}

/** A driver's or a batch's report of a job's progress. */
export interface ProgressReport extends ProgressUpdate {
  readonly items?: ItemCounts | undefined
}

export const noProgress: Progress = Object.freeze({ percent: 0 })

/** The next progress after an update: never backwards, and below 100 until the job has ended. */
export function advance(current: Progress, update: ProgressReport): Progress {
  const { phase = current.phase, unit, items } = update
  const done = counted(update.done)
  const total = counted(update.total)
  const computed = done !== undefined && total !== undefined && total > 0 ? (100 * done) / total : 0
  const percent = Math.max(current.percent, Math.min(99, counted(update.percent) ?? computed))
  return Object.freeze({
    percent,
    ...(phase !== undefined && { phase }),
    ...(done !== undefined && { done }),
    ...(total !== undefined && { total }),
    ...(unit !== undefined && { unit }),
    ...(items !== undefined && { items }),
  })
}

/** A host's numbers are not to be trusted: one that is no amount counts as absent. */
const counted = (value: number | undefined): number | undefined =>
  value !== undefined && Number.isFinite(value) && value >= 0 ? value : undefined

const finished: Progress = Object.freeze({ percent: 100 })

/** Most jobs end without having reported anything: they share one object. */
export const complete = (current: Progress): Progress =>
  current === noProgress
    ? finished
    : Object.freeze({ ...current, percent: 100, ...(current.total !== undefined && { done: current.total }) })
