import { expect, test } from 'vitest'
import { hostnameIn, withoutOwnName } from '../../../src/cloud-init/hostname.js'

test.each([
  ['web-1', 'web-1'],
  ['db.example.org', 'db.example.org'],
  ['Über Größe 2!', 'uber-gro-e-2'],
  ['--', 'vm'],
  ['日本', 'vm'],
  ['..a..', 'a'],
  [`${'x'.repeat(62)}--y`, 'x'.repeat(62)],
])('the host name of the VM %j is %s if none is given', (name, hostname) => {
  expect(hostnameIn({}, name)).toBe(hostname)
})

test('a host name is kept as a setting only if it is not the name of the VM', () => {
  expect(withoutOwnName({ hostname: 'a', timezone: 'UTC' }, 'a')).toEqual({ timezone: 'UTC' })
  expect(withoutOwnName({ hostname: 'Web-1' }, 'Web 1')).toEqual({})
  expect(withoutOwnName({ hostname: 'b' }, 'a')).toEqual({ hostname: 'b' })
})
