import { InvalidArgumentError, JobCancelledError, type VmError } from '../errors.js'
import { abortRequest, onAbort } from './abort-listeners.js'
import type { JobCore } from './job-core.js'
import type { Progress } from './progress.js'
import { checkTimeout } from './timeout.js'

/** What every method that returns a job takes. */
export interface JobOptions {
  /** Aborting it asks for the operation's cancellation. */
  readonly signal?: AbortSignal | undefined
  /**
   * Milliseconds that the operation may take, at most 2147483647; then it is cancelled, and the job ends within a second, also
   * where the host hangs: with a `TimeoutError`, or with an `OutcomeUnknownError` where the operation may still take place.
   */
  readonly timeoutMs?: number | undefined
  readonly onProgress?: ((progress: Progress) => void) | undefined
}

/** Lets `use` have the options, once they have proved right; whatever is wrong with them is answered, and never thrown. */
export function withOptions<R>(options: unknown, use: (options: JobOptions) => R): R | InvalidArgumentError {
  try {
    if (typeof options !== 'object' || options === null || Array.isArray(options)) return wrong('options', 'an object')
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

/**
 * Lets a signal and a timeout stop the job, and its listener hear of it, for as long as it runs. Answers why it may not be
 * begun at all; then nothing was attached.
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
      ...(onProgress !== undefined && { onProgress }),
      onSettled() {
        clearTimeout(timer)
        unlisten?.()
      },
    })
    return undefined
  })

/** Reading `aborted` throws where it only looks like one. */
const isSignal = (value: unknown): boolean => value instanceof AbortSignal && typeof value.aborted === 'boolean'

const wrong = (path: string, expected: string): InvalidArgumentError =>
  new InvalidArgumentError({ path, reason: `${path} must be ${expected}` })
