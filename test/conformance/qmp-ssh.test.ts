import { execGuest, GuestMissingError, type GuestProfile, type Subject } from 'awaitvm/testing/conformance'
import { beforeAll } from 'vitest'
import { allCases } from '../../src/testing/conformance/cases.js'
import { debianWithSsh, type DebianWithSsh } from '../support/debian-with-ssh.js'
import { missingSsh, wantedHosts } from '../support/optional-tool.js'
import { describeOwnHost } from './own-host.js'
import { qmpHost } from './qmp-profile.js'

let linux: DebianWithSsh
beforeAll(async () => {
  linux = await debianWithSsh()
})

/** A guest without an agent. */
function sshGuest(): GuestProfile {
  if (linux.unavailable !== undefined) {
    // With `all`, a missing guest is a failure.
    if (wantedHosts === 'all') throw new Error(linux.unavailable)
    throw new GuestMissingError(linux.unavailable)
  }
  const { kernel, initrd, userKey, hostKey } = linux
  const spec = {
    memoryMiB: 256,
    boot: { kernel, initrd, commandLine: 'console=ttyS0 quiet' },
    networkAdapters: [{ portForwards: [{ guestPort: 22 }] }],
    guest: { way: 'ssh', user: 'root', privateKeyFile: userKey, hostKey },
  } as const
  return execGuest({ spec, specWithDisk: { ...spec, disks: [{ sizeMiB: 1 }] } }, {}, 'shell ready')
}

/** All else does not depend on the way into the guest. */
const ofGuests = (Object.keys(allCases) as Subject[]).filter(
  (subject) => subject.startsWith('guest ') && subject !== 'guest agent',
)

describeOwnHost(
  {
    ...qmpHost,
    name: 'qmp:///dir by SSH',
    unavailable: qmpHost.unavailable ?? missingSsh,
    guestWithAgent: sshGuest,
    refusedExecOptions: ['detached'],
  },
  ofGuests,
)
