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

/** What QEMU documents where hosts differ. */
export const qmpProfile = {
  driver: 'qmp',
  guest: serialGuest({
    spec: { memoryMiB: 16, boot: { kernel } },
    specWithDisk: { memoryMiB: 16, disks: [{ sizeMiB: 1 }], boot: { kernel } },
  }),
  keepsVms: true,
  onClose: 'runs-on',
  sharesRunningVms: true,
  withdrawsPowerButton: false,
  afterCrash: 'running',
} as const satisfies Partial<ConformanceHost>
