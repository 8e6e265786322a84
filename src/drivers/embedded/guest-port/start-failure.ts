import { GuestUnavailableError, HostError, InsufficientResourcesError, type VmError } from '../../../errors.js'
import { programEndUnknown } from '../../../errors/program-end.js'
import type { GuestProgram } from '../../../guest/guest-way.js'
import { noFolder, noProgram, noUser, otherUser } from '../../../guest/refusals.js'
import { shell } from '../../../guest/wrapped-program.js'
import type { GuestMessage } from './messages.js'

const driver = 'embedded'
/** E2BIG of Linux. */
const tooLong = 7
/** ENOENT of Linux. */
const notThere = 2

/** The guest program answers before the system's own init has done anything. */
const noShell = (): GuestUnavailableError =>
  new GuestUnavailableError({
    reason: `the guest has no ${shell}`,
    hint: 'It may still boot: wait with vm.guest.waitUntilReady(). What is done in files takes a POSIX shell in the guest.',
    retryable: true,
  })

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
      if (errno === tooLong)
        return new HostError({ reason: 'the guest refuses so many arguments and variables', native })
      return errno === notThere && name === shell ? noShell() : noProgram(name)
    case 'resources':
      return new InsufficientResourcesError({ reason: 'the guest has no resources for one more program', native })
    case 'keeper':
      return programEndUnknown(
        'the process in the guest that watched the program was killed, and it is unknown how the program ended',
      )
  }
}
