import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ConformanceHost, serialGuest } from 'awaitvm/testing/conformance'
import { afterAll } from 'vitest'
import { builtInGuest } from '../../src/drivers/embedded/machine/guest.js'

const folder = mkdtempSync(join(tmpdir(), 'awaitvm-guest-'))
const kernel = join(folder, 'guest.bin')
writeFileSync(kernel, builtInGuest())
afterAll(() => {
  rmSync(folder, { recursive: true })
})

/** What the embedded host documents, wherever it keeps its VMs. */
export const embeddedProfile = {
  driver: 'embedded',
  guest: serialGuest({
    spec: { memoryMiB: 16 },
    // With a disk, there is something else to boot than the built-in guest.
    specWithDisk: { memoryMiB: 16, disks: [{ sizeMiB: 1 }], boot: { kernel } },
  }),
  refusedSettings: ['spec.networkAdapters'],
  onClose: 'is-killed',
  sharesRunningVms: false,
  withdrawsPowerButton: true,
  afterCrash: 'crashed',
} as const satisfies Partial<ConformanceHost>
