import { type ConformanceHost, serialGuest } from 'awaitvm/testing/conformance'
import { guestKernel } from './guest-kernel.js'

/** Documented traits of the embedded host, in memory and in a directory. */
export const embeddedProfile = {
  driver: 'embedded',
  guest: serialGuest({
    spec: { memoryMiB: 16 },
    // A VM with a disk boots from that, and not the built-in guest.
    specWithDisk: { memoryMiB: 16, disks: [{ sizeMiB: 1 }], boot: { kernel: guestKernel } },
  }),
  refusedSettings: ['spec.networkAdapters', 'spec.guest'],
  onClose: 'is-killed',
  sharesRunningVms: false,
  withdrawsPowerButton: true,
  afterCrash: 'crashed',
} as const satisfies Partial<ConformanceHost>
