import { HostError, InsufficientResourcesError, OutcomeUnknownError, type VmError } from '../../../errors.js'
import type { GuestProgram } from '../../../guest/guest-way.js'
import { noFolder, noProgram, noUser, otherUser } from '../../../guest/refusals.js'
import type { GuestMessage } from './messages.js'

const driver = 'embedded'
/** E2BIG of Linux. */
const tooLong = 7

/** Error for a program that the guest program could not start. */
export const startFailure = (
  { argv: [name = ''], cwd = '', user = '' }: GuestProgram,
  { stage, errno }: Extract<GuestMessage, { type: 'failed' }>,
): VmError => {
  const native = { driver, code: errno, message: `errno ${String(errno)} of Linux` }
  switch (stage) {
    case 'user':
      return noUser(user)
    case 'folder':
      return noFolder(cwd)
    case 'privilege':
      return otherUser(user)
    case 'program':
      return errno === tooLong
        ? new HostError({ reason: 'the guest refuses so many arguments and variables', native })
        : noProgram(name)
    case 'resources':
      return new InsufficientResourcesError({ reason: 'the guest has no resources for one more program', native })
    case 'keeper':
      return new OutcomeUnknownError({
        reason: 'the process in the guest that watched the program was killed, and it is unknown how the program ended',
      })
  }
}
