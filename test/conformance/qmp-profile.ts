import { type ConformanceHost, serialGuest } from 'awaitvm/testing/conformance'
import { guestKernel } from './guest-kernel.js'

/** Documented traits of QEMU. */
export const qmpProfile = {
  driver: 'qmp',
  guest: serialGuest({
    spec: { memoryMiB: 16, boot: { kernel: guestKernel } },
    specWithDisk: { memoryMiB: 16, disks: [{ sizeMiB: 1 }], boot: { kernel: guestKernel } },
  }),
  keepsVms: true,
  onClose: 'runs-on',
  sharesRunningVms: true,
  withdrawsPowerButton: false,
  afterCrash: 'running',
} as const satisfies Partial<ConformanceHost>
