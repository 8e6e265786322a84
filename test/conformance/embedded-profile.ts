import { type ConformanceHost, serialGuest } from 'awaitvm/testing/conformance'
import { guestKernel } from './guest-kernel.js'

/** What the embedded host documents, wherever it keeps its VMs. */
export const embeddedProfile = {
  driver: 'embedded',
  guest: serialGuest({
    spec: { memoryMiB: 16 },
    // With a disk, there is something else to boot than the built-in guest.
    specWithDisk: { memoryMiB: 16, disks: [{ sizeMiB: 1 }], boot: { kernel: guestKernel } },
  }),
  refusedSettings: ['spec.networkAdapters'],
  onClose: 'is-killed',
  sharesRunningVms: false,
  withdrawsPowerButton: true,
  afterCrash: 'crashed',
} as const satisfies Partial<ConformanceHost>
