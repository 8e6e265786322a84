import { err, type Result } from 'neverthrow'
import { VmError, WaitAbortedError, WaitTimeoutError } from '../errors.js'
import { onAbort } from './abort-listeners.js'
import type { JobCore } from './job-core.js'
import type { JobOptions } from './job-options.js'

/** One waiter of a job: it may give up, and leaves nothing behind; the job and other waiters don't notice. */
export function waitFor<T, E extends VmError>(
  core: JobCore<T, E>,
  { timeoutMs, signal }: JobOptions,
): Promise<Result<T, E | WaitTimeoutError | WaitAbortedError>> {
  if (core.isSettled || (timeoutMs === undefined && signal === undefined)) return core.promise
  return new Promise((resolve) => {
    const giveUp = (error: WaitTimeoutError | WaitAbortedError): void => {
      release()
      VmError.locate(error, core.operation, core.target)
      resolve(err(error))
    }
    const abort = (): void => {
      const reason = 'the wait was aborted'
      giveUp(new WaitAbortedError({ reason, hint: 'The job goes on.', cause: signal?.reason }))
    }
    const unlistenSignal = signal && onAbort(signal, abort)
    const unlisten = core.listen({
      onSettled() {
        release()
        resolve(core.promise)
      },
    })
    const expire = (): void => {
      const reason = `it did not end within ${String(timeoutMs)} ms`
      giveUp(new WaitTimeoutError({ reason, hint: 'The job goes on: wait again, or cancel it.', retryable: true }))
    }
    const timer = timeoutMs === undefined ? undefined : setTimeout(expire, timeoutMs)
    const release = (): void => {
      clearTimeout(timer)
      unlisten()
      unlistenSignal?.()
    }
    if (signal?.aborted === true) abort()
  })
}
