import { type ConformanceHost, serialGuest } from 'awaitvm/testing/conformance'
import { beforeAll } from 'vitest'
import type { DebianLinux } from '../support/debian-build.js'
import { debianLinux } from '../support/debian-linux.js'
import { debianGuest } from './debian-guest.js'
import { guestKernel } from './guest-kernel.js'

let linux: DebianLinux
beforeAll(async () => {
  linux = await debianLinux()
})

/** Documented traits of the embedded host, in memory and in a directory. */
export const embeddedProfile = {
  driver: 'embedded',
  guest: serialGuest({
    spec: { memoryMiB: 16 },
    // A VM with a disk boots from that, and not the built-in guest.
    specWithDisk: { memoryMiB: 16, disks: [{ sizeMiB: 1 }], boot: { kernel: guestKernel } },
  }),
  // Debian's busybox, with awaitvm's own program beside its init.
  guestWithAgent: () => debianGuest(linux, { memoryMiB: 128 }),
  // The built-in guest is refused at once. This is the same one, which may answer as far as the host knows.
  specWithoutAgent: { memoryMiB: 16, boot: { kernel: guestKernel } },
  refusedExecOptions: ['detached'],
  refusedSettings: ['spec.networkAdapters', 'spec.cloudInit', 'spec.shares', 'spec.guest'],
  onClose: 'is-killed',
  sharesRunningVms: false,
  withdrawsPowerButton: true,
  afterCrash: 'crashed',
} as const satisfies Partial<ConformanceHost>
