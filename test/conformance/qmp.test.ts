import { execGuest, GuestMissingError, type GuestProfile } from 'awaitvm/testing/conformance'
import { beforeAll } from 'vitest'
import { type DebianLinux } from '../support/debian-build.js'
import { wantedHosts } from '../support/optional-tool.js'
import { debianWithAgent } from '../support/debian-with-agent.js'
import { qmpHost } from './qmp-profile.js'
import { describeOwnHost } from './own-host.js'

let linux: DebianLinux
beforeAll(async () => {
  linux = await debianWithAgent()
})

function linuxGuest(): GuestProfile {
  if (linux.unavailable !== undefined) {
    // With `all`, a missing guest is a failure.
    if (wantedHosts === 'all') throw new Error(linux.unavailable)
    throw new GuestMissingError(linux.unavailable)
  }
  const { kernel, initrd } = linux
  const spec = { memoryMiB: 128, boot: { kernel, initrd, commandLine: 'console=ttyS0 quiet' } }
  return execGuest({ spec, specWithDisk: { ...spec, disks: [{ sizeMiB: 1 }] } }, {}, 'shell ready')
}

describeOwnHost({
  ...qmpHost,
  name: 'qmp:///dir',
  guestWithAgent: linuxGuest,
  refusedExecOptions: ['pty', 'detached'],
})
