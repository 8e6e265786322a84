import { HostError, JobCancelledError, VmError } from '../errors.js'

/** Converts an `AbortError`: into the `VmError` that the signal was aborted with, else into a cancellation. */
export function abortedError(error: unknown): VmError | undefined {
  if (!(error instanceof Error) || error.name !== 'AbortError') return undefined
  return error.cause instanceof VmError ? error.cause : new JobCancelledError({ reason: error.message, cause: error })
}

/** Error for an operation that the host cancelled by itself: it has failed. */
export const cancelledUnasked = (driver: string, { reason, hint, native, cause, code }: VmError): HostError =>
  new HostError({
    reason: `the host cancelled it without being asked: ${reason}`,
    hint: hint ?? 'Look at the VM and at the logs of its host, and try again.',
    native: native ?? { driver, code, message: reason },
    cause,
  })
