import type { Result } from 'neverthrow'
import type * as v from 'valibot'
import { InvalidArgumentError, JobCancelledError, type VmError } from '../errors.js'
import { abortRequest, onAbort } from './abort-listeners.js'
import { inCallerContext } from './caller-context.js'
import type { JobCore } from './job-core.js'
import { object, unchecked } from '../model/schema.js'
import { hintForName, notKnown, unknownName } from '../model/unknown-name.js'
import { validate } from '../errors/validate.js'
import type { Progress } from './progress.js'
import { checkTimeout } from './timeout.js'

/** The options of every method that returns a job. */
export interface JobOptions {
  /** Aborting it asks for the operation's cancellation. */
  readonly signal?: AbortSignal | undefined
  /**
   * Milliseconds that the operation may take, at most 2147483647; then it is cancelled, and the job ends within a second, even if
   * the host hangs: with a `TimeoutError`, or with an `OutcomeUnknownError` if the operation may still take place.
   */
  readonly timeoutMs?: number | undefined
  /** Called at each progress, the last time with 100 % if the job succeeds; in the async context of the call. */
  readonly onProgress?: ((progress: Progress) => void) | undefined
}

/** Their values are checked when the job begins. */
const jobEntries = {
  signal: unchecked<AbortSignal>(),
  timeoutMs: unchecked<number>(),
  onProgress: unchecked<(progress: Progress) => void>(),
} as const satisfies Record<keyof JobOptions, unknown>
const jobOptionNames: readonly string[] = Object.keys(jobEntries)

/**
 * Calls `use` with the options if they are valid; an error in them is returned, and never thrown.
 * @param known the names that they may have
 */
export function withOptions<R>(
  options: unknown,
  use: (options: JobOptions) => R,
  known: readonly string[] = jobOptionNames,
): R | InvalidArgumentError {
  try {
    if (typeof options !== 'object' || options === null || Array.isArray(options)) return wrong('options', 'an object')
    const other = unknownName(options, known)
    if (other !== undefined) {
      const path = `options.${other}`
      return new InvalidArgumentError({ path, reason: `${path} ${notKnown}`, hint: hintForName(other, known) })
    }
    // Read once: a getter may answer otherwise the next time.
    const { signal, timeoutMs, onProgress } = options as JobOptions
    if (signal !== undefined && !isSignal(signal)) return wrong('signal', 'an AbortSignal')
    if (onProgress !== undefined && typeof onProgress !== 'function') return wrong('onProgress', 'a function')
    const invalid = timeoutMs === undefined ? undefined : checkTimeout(timeoutMs)
    return invalid ?? use({ signal, timeoutMs, onProgress })
  } catch (cause) {
    return new InvalidArgumentError({ path: 'options', reason: "options can't be read", cause })
  }
}

/** What a method with options of its own was given: those, and what holds for its job. */
export interface MethodOptions<O> {
  readonly own: Result<O, InvalidArgumentError>
  readonly job: JobOptions | undefined
}

/** Reads the options of a method that has some besides those of every job. */
export function methodOptions<const S extends v.ObjectEntries>(
  entries: S,
  root = 'options',
): (options: unknown) => MethodOptions<v.InferOutput<v.ObjectSchema<S, undefined>>> {
  const ownSchema = object(entries, jobOptionNames)
  const jobSchema = object(jobEntries, Object.keys(entries))
  return (options = {}) => {
    const job = validate(jobSchema, options, root)
    return { own: job.andThen(() => validate(ownSchema, options, root)), job: job.unwrapOr(undefined) }
  }
}

/**
 * Attaches signal, timeout and listener to the job until it ends. Returns why the job must not begin at all; then nothing was
 * attached.
 */
export const applyOptions = (
  core: JobCore<unknown, VmError>,
  options: JobOptions,
  defaultTimeoutMs?: number,
): VmError | undefined =>
  withOptions(options, ({ signal, timeoutMs = defaultTimeoutMs, onProgress }) => {
    if (signal === undefined && timeoutMs === undefined && onProgress === undefined) return undefined
    if (onProgress !== undefined) core.observe()
    if (signal?.aborted === true) return new JobCancelledError(abortRequest(signal))
    const unlisten = signal && onAbort(signal, () => void core.cancel(abortRequest(signal)))
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => void core.expire(timeoutMs), timeoutMs)
    core.listen({
      ...(onProgress !== undefined && { onProgress: inCallerContext(onProgress) }),
      onSettled() {
        clearTimeout(timer)
        unlisten?.()
      },
    })
    return undefined
  })

/** Reading `aborted` throws if it only looks like a signal. */
const isSignal = (value: unknown): boolean => value instanceof AbortSignal && typeof value.aborted === 'boolean'

const wrong = (path: string, expected: string): InvalidArgumentError =>
  new InvalidArgumentError({ path, reason: `${path} must be ${expected}` })
