import { OutcomeUnknownError, VmError } from '../../errors.js'
import type { DriverOperation } from '../../operations.js'
import { libvirtError } from './libvirt-errors.js'

/**
 * Undoes what a change has done before it failed; answers the error to throw.
 *
 * @param cause why the change failed
 * @returns the cause; if the undoing fails, too, an error with both
 */
export async function undone(cause: unknown, operation: DriverOperation, undo: () => Promise<void>): Promise<unknown> {
  try {
    await undo()
    return cause
  } catch (error) {
    const failure = libvirtError(error, { operation })
    const first = libvirtError(cause, { operation })
    return new OutcomeUnknownError({
      reason: `it could neither be finished (${reasonOf(first)}) nor undone (${reasonOf(failure)})`,
      hint: 'Look the VM up to see how it is. What is left over is removed by the next connection after the end of this process.',
      native: failure instanceof VmError ? failure.native : undefined,
      cause: new AggregateError([cause, error], 'The change and its undoing have failed.'),
    })
  }
}

const reasonOf = (error: unknown): string => (error instanceof VmError ? error.reason : String(error))
