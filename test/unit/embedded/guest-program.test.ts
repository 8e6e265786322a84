import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { guestProgram } from '../../../src/drivers/embedded/guest-program/guest-program.js'
import { buildGuestProgram, bytesFile, guestProgramOrigin, sourcesHash } from '../../support/guest-program-build.js'
import { missingTools, skipWithout } from '../../support/optional-tool.js'

/** What the file says that its bytes were made of. */
const origin = /By (gcc [\d.]+, sources [0-9a-f]+)\./.exec(readFileSync(bytesFile, 'utf8'))?.[1]

const howTo = 'npx tsx test/support/guest-program-build.ts makes it anew'

test('the bytes of the guest program are of these sources', () => {
  expect(origin, howTo).toContain(sourcesHash())
})

test('the same compiler makes the same bytes', (context) => {
  skipWithout(context, missingTools('gcc', 'ld'))
  if (guestProgramOrigin() !== origin) context.skip(`they were made by ${origin ?? 'nobody knows'}`)
  expect(buildGuestProgram().equals(guestProgram()), howTo).toBe(true)
})

test('the guest program is small', () => {
  expect(guestProgram().byteLength).toBeLessThan(16 * 1024)
})
