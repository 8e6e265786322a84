import { execGuest, GuestMissingError, type GuestProfile } from 'awaitvm/testing/conformance'
import type { VmSpec } from 'awaitvm'
import type { DebianLinux } from '../support/debian-build.js'
import { wantedHosts } from '../support/optional-tool.js'

/** A Debian guest whose console says when its shell is ready. */
export function debianGuest(linux: DebianLinux, settings: Omit<VmSpec, 'name' | 'boot'>): GuestProfile {
  if (linux.unavailable !== undefined) {
    // With `all`, a missing guest is a failure.
    if (wantedHosts === 'all') throw new Error(linux.unavailable)
    throw new GuestMissingError(linux.unavailable)
  }
  const { kernel, initrd } = linux
  const spec = { ...settings, boot: { kernel, initrd, commandLine: 'console=ttyS0 quiet' } }
  return execGuest({ spec, specWithDisk: { ...spec, disks: [{ sizeMiB: 1 }] } }, {}, 'shell ready')
}
