import { HostError, JobCancelledError, VmError } from '../errors.js'

/** What an `AbortError` stands for: the `VmError` that its signal was aborted with, or else a cancellation. */
export function abortedError(error: unknown): VmError | undefined {
  if (!(error instanceof Error) || error.name !== 'AbortError') return undefined
  return error.cause instanceof VmError ? error.cause : new JobCancelledError({ reason: error.message, cause: error })
}

/** A host says "cancelled", and nobody has asked for that: the operation has failed. */
export const cancelledUnasked = (driver: string, { reason, hint, native, cause, code }: VmError): HostError =>
  new HostError({
    reason: `the host cancelled it, though nobody asked for that: ${reason}`,
    hint: hint ?? 'Look at the VM and at the logs of its host, and try again.',
    native: native ?? { driver, code, message: reason },
    cause,
  })
