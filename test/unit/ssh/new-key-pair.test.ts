import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import ssh2 from 'ssh2'
import { expect, onTestFinished, test } from 'vitest'
import { newKeyPair } from '../../../src/ssh/new-key-pair.js'
import { missingSsh, skipWithout } from '../../support/optional-tool.js'

/** The library refuses a text that is no key by an error that it returns. */
function parsed(key: string): ssh2.ParsedKey {
  const found = ssh2.utils.parseKey(key)
  if (found instanceof Error) throw found
  return found
}

test('what the private key signs, the public key verifies; no two pairs are the same', () => {
  const pairs = Array.from({ length: 300 }, newKeyPair)
  for (const { privateKey, publicKey } of pairs) {
    const signature = parsed(privateKey).sign(Buffer.from('text'))
    expect(parsed(publicKey).verify(Buffer.from('text'), signature)).toBe(true)
  }
  expect(new Set(pairs.map(({ publicKey }) => publicKey)).size).toBe(pairs.length)
})

test('ssh-keygen finds the public key in the private one', (context) => {
  skipWithout(context, missingSsh)
  const folder = mkdtempSync(join(tmpdir(), 'awaitvm-key-'))
  onTestFinished(() => {
    rmSync(folder, { recursive: true })
  })
  const { privateKey, publicKey } = newKeyPair()
  writeFileSync(join(folder, 'key'), privateKey, { mode: 0o600 })
  const found = execFileSync('ssh-keygen', ['-y', '-f', join(folder, 'key')], { encoding: 'utf8' })
  expect(found.trim()).toBe(publicKey)
})
