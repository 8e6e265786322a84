import { OutcomeUnknownError, type VmErrorOptions } from '../errors.js'

/** Error for a program that has begun, and whose end can't be found out any more: it may have done its work or a part of it. */
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

/** The reason for a program whose VM is in another state by now. */
export const goneWithGuest = (state: string): string => `its guest has gone meanwhile, and it is ${state}`
