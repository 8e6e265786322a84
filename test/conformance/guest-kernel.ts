import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { builtInGuest } from 'awaitvm/testing/conformance'
import { afterAll } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'awaitvm-guest-'))
afterAll(() => {
  rmSync(folder, { recursive: true })
})

/** The path of awaitvm's own guest, for hosts that boot it from a file. */
export const guestKernel = join(folder, 'guest.bin')
writeFileSync(guestKernel, builtInGuest())
