import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { credentialsFor } from '../../../../src/drivers/libvirt/rpc/auth/auth-file.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-'))
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(folder, { recursive: true })
})

const text = `# a comment
[credentials-lab]
authname = tester
password = a = b

[credentials-other]
username=guest
password=

[auth-libvirt-lab.example.org]
credentials=lab
[auth-libvirt-default]
credentials = other
`

test('the group of the host is used, or else the default one', async () => {
  const path = join(folder, 'auth.conf')
  await writeFile(path, text)
  expect(await credentialsFor('lab.example.org', path)).toEqual({ user: 'tester', password: 'a = b' })
  expect(await credentialsFor('elsewhere', path)).toEqual({ user: 'guest', password: '' })
})

test('LIBVIRT_AUTH_FILE names the file', async () => {
  const path = join(folder, 'auth.conf')
  await writeFile(path, text)
  vi.stubEnv('LIBVIRT_AUTH_FILE', path)
  expect(await credentialsFor('lab.example.org', undefined)).toEqual({ user: 'tester', password: 'a = b' })
})

test('a file that was named must be there; one of the usual ones need not', async () => {
  await expect(credentialsFor('x', join(folder, 'none'))).rejects.toThrow("can't be read")
  vi.stubEnv('XDG_CONFIG_HOME', folder)
  expect(await credentialsFor('x', undefined)).toBeUndefined()
})

test('a file without the group, or with parts of it, has no credentials', async () => {
  const path = join(folder, 'auth.conf')
  await writeFile(path, '[auth-libvirt-x]\ncredentials=y\n[credentials-y]\nauthname=z\n')
  expect(await credentialsFor('x', path)).toBeUndefined()
  expect(await credentialsFor('y', path)).toBeUndefined()
})
