import { OutcomeUnknownError, type VmErrorOptions } from '../errors.js'

/** Error for a program that was started and whose end can't be found out: it may have done all of its work or a part. */
export const programEndUnknown = (
  reason: string,
  { cause, native }: Pick<VmErrorOptions, 'cause' | 'native'> = {},
): OutcomeUnknownError =>
  new OutcomeUnknownError({
    reason,
    hint: 'Find out what the program has done, and run it again if that does no harm.',
    cause,
    native,
  })

/** Reason for a program whose VM is no longer running. */
export const goneWithGuest = (state: string): string => `its guest is gone, and it is ${state}`
