import type { GuestProfile, Subject } from 'awaitvm/testing/conformance'
import { beforeAll } from 'vitest'
import { allCases } from '../../src/testing/conformance/cases.js'
import { debianWithSsh, type DebianWithSsh } from '../support/debian-with-ssh.js'
import { missingSsh } from '../support/optional-tool.js'
import { debianGuest } from './debian-guest.js'
import { describeOwnHost } from './own-host.js'
import { qmpHost } from './qmp-profile.js'

let linux: DebianWithSsh
beforeAll(async () => {
  linux = await debianWithSsh()
})

/** A guest without an agent. */
const sshGuest = (): GuestProfile =>
  debianGuest(linux, {
    memoryMiB: 256,
    networkAdapters: [{ portForwards: [{ guestPort: 22 }] }],
    guest: { way: 'ssh', user: 'root', privateKeyFile: linux.userKey, hostKey: linux.hostKey },
  })

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
  },
  ofGuests,
)
