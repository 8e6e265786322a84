import { expect, test } from 'vitest'
import { validate } from '../../../src/errors/validate.js'
import { cloudInitSchema } from '../../../src/model/cloud-init-schema.js'

const check = (value: unknown) => validate(cloudInitSchema, value, 'spec.cloudInit')
const wrong = (value: unknown): { path: string; reason: string } => {
  const { path, reason } = check(value)._unsafeUnwrapErr()
  return { path, reason }
}
const cyclic: Record<string, unknown> = {}
cyclic['self'] = cyclic
const wide = Array.from({ length: 20 }).reduce<unknown>((inner) => [inner, inner], 'x')

test.for<[unknown, string, string]>([
  [{ hostnam: 'a' }, '.hostnam', 'is not a known setting'],
  [{ hostname: 'a b' }, '.hostname', 'must be a host name'],
  [{ hostname: 'a..b' }, '.hostname', 'must be a host name'],
  [{ hostname: 'a\nb' }, '.hostname', 'must be a host name'],
  [{ users: ['ci'] }, '.users[0]', 'must be an object'],
  [{ users: [{ name: 'a:b' }] }, '.users[0].name', 'must be a name'],
  [{ users: [{ name: 'ci', sudo: 'ALL' }] }, '.users[0].sudo', 'must be true or false'],
  [{ users: [{ name: 'ci', shell: 'bash' }] }, '.users[0].shell', 'must be an absolute path in the guest'],
  [{ users: [{ name: 'ci', sshKeys: ['a\nb'] }] }, '.users[0].sshKeys[0]', 'is not a public key'],
  [{ packages: ['a\nb'] }, '.packages[0]', 'must be a line'],
  [{ packages: [''] }, '.packages[0]', 'must be a line'],
  [{ files: [{ path: '/a' }] }, '.files[0].content', 'is missing'],
  [{ files: [{ path: 'a', content: '' }] }, '.files[0].path', 'must be an absolute path in the guest'],
  [{ files: [{ path: '/a', content: '', encoding: 'hex' }] }, '.files[0].encoding', 'must be "utf8" or "base64"'],
  [{ files: [{ path: '/a', content: '', permissions: '8' }] }, '.files[0].permissions', 'octal digits'],
  [{ files: [{ path: '/a', content: 'x'.repeat(2 ** 20 + 1) }] }, '.files[0].content', 'is longer than 1048576'],
  [{ runCommands: [5] }, '.runCommands[0]', 'must be an array'],
  [{ timezone: 'a\nb' }, '.timezone', 'must be a line'],
  [{ metaData: { 'instance-id': 'a' } }, '.metaData', 'is not to have instance-id and local-hostname'],
  [{ metaData: cyclic }, '.metaData', 'at most 32 levels deep'],
  [{ metaData: { wide } }, '.metaData', 'and 100000 in all'],
  [{ metaData: { when: new Date(0) } }, '.metaData', 'is not made of text, numbers'],
  [{ metaData: { run: () => 1 } }, '.metaData', 'is not made of text, numbers'],
  [{ metaData: { big: 1n } }, '.metaData', 'is not made of text, numbers'],
  [{ metaData: { nan: Number.NaN } }, '.metaData', 'is not made of text, numbers'],
  [{ userData: 'packages: [git]' }, '.userData', 'text has to begin with "#cloud-config"'],
  [{ userData: ['#!/bin/sh', 5] }, '.userData[1]', 'is no object'],
  [{ networkConfig: [] }, '.networkConfig', 'is no object'],
])('wrong settings are refused by their path: %#', ([value, path, reason]) => {
  const error = wrong(value)
  expect(error.path).toBe(`spec.cloudInit${path}`)
  expect(error.reason).toContain(reason)
})

const secret = 'c0rrect-horse'

test.each<unknown>([
  { users: [{ name: 'ci', passwordHash: secret }] },
  { users: [{ name: 'ci', passwordHash: [secret] }] },
  { users: [{ name: 'ci', sshKeys: [`-----BEGIN OPENSSH PRIVATE KEY-----\n${secret}`] }] },
  { users: [{ name: 'ci', password: secret }] },
  { files: [{ path: '/a', content: [secret] }] },
  { files: [{ path: '/a', content: `${secret}\ud800` }] },
  { runCommands: [`${secret}\ud800`] },
  { userData: secret },
  { userData: [[secret]] },
  { userData: { chpasswd: { list: [secret, Symbol('x')] } } },
  { vendorData: secret },
  { metaData: secret },
])('no error shows a secret: %#', (value) => {
  const error = check(value)._unsafeUnwrapErr()
  expect(error.message).not.toContain('c0rrect')
  expect(error.path).toMatch(/^spec\.cloudInit\./)
})

test('what is checked is a copy without undefined', () => {
  const userData = { packages: ['git'], ntp: undefined }
  const checked = check({ userData, users: [{ name: 'ci', sshKeys: ['ssh-ed25519 AAAA ci\n'] }] })._unsafeUnwrap()
  userData.packages.push('later')
  expect(checked.userData).toStrictEqual({ packages: ['git'] })
  expect(checked.users).toEqual([{ name: 'ci', sshKeys: ['ssh-ed25519 AAAA ci'] }])
})
