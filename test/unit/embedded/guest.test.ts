import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { builtInGuest } from '../../../src/drivers/embedded/machine/guest.js'
import { missingTools, skipWithout } from '../../support/optional-tool.js'

const source = fileURLToPath(new URL('../../../src/drivers/embedded/machine/guest.S', import.meta.url))

test('guest.ts is guest.S, assembled', (context) => {
  skipWithout(context, missingTools('gcc', 'ld', 'objcopy'))
  const folder = mkdtempSync(join(tmpdir(), 'awaitvm-guest-'))
  try {
    const object = join(folder, 'guest.o')
    const program = join(folder, 'guest.elf')
    const image = join(folder, 'guest.bin')
    execFileSync('gcc', ['-m32', '-c', source, '-o', object])
    execFileSync('ld', ['-m', 'elf_i386', '-Ttext=0x100000', '-o', program, object])
    execFileSync('objcopy', ['-O', 'binary', '-j', '.text', program, image])
    expect(Buffer.from(builtInGuest()).toString('hex')).toBe(readFileSync(image).toString('hex'))
  } finally {
    rmSync(folder, { recursive: true })
  }
})
