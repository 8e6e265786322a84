import type { ShareConfig } from 'awaitvm'
import { createSimulatedServer } from 'awaitvm/testing'
import { expect, test } from 'vitest'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'

const share: ShareConfig = { path: '/srv/project', tag: 'project' }

test.each<[unknown, string, string]>([
  [[{ ...share, path: 'project' }], 'spec.shares[0].path', 'must be an absolute path'],
  [[{ ...share, path: '/srv/\0' }], 'spec.shares[0].path', 'must not contain a NUL character'],
  [[{ ...share, tag: '' }], 'spec.shares[0].tag', 'must have 1 to 31 letters'],
  [[{ ...share, tag: 'a'.repeat(32) }], 'spec.shares[0].tag', 'must have 1 to 31 letters'],
  [[{ ...share, tag: '-a' }], 'spec.shares[0].tag', 'begin with a letter or a digit'],
  [[{ ...share, tag: 'a,b' }], 'spec.shares[0].tag', 'must have 1 to 31 letters'],
  [[{ ...share, tag: 'a\n' }], 'spec.shares[0].tag', 'must have 1 to 31 letters'],
  [[{ ...share, readonly: true }], 'spec.shares[0].readonly', 'Did you mean readOnly?'],
  [[{ ...share, type: 'nfs' }], 'spec.shares[0].type', 'must be "9p" or "virtiofs"'],
  [[share, { path: '/srv/other', tag: 'project' }], 'spec.shares', 'must not have the same tag twice'],
  [Array.from({ length: 9 }, (_, index) => ({ ...share, tag: `t${String(index)}` })), 'spec.shares', 'at most 8'],
])('%j is refused', async (shares, path, words) => {
  await using server = createSimulatedServer().server
  const error = await failureOf(server.createVm({ name: 'web-1', shares: shares as ShareConfig[] }), 'INVALID_ARGUMENT')
  expect(error.path).toBe(path)
  expect(error.message).toContain(words)
})

test('the settings tell whether a guest may write, and none of a VM without shares', async () => {
  await using server = createSimulatedServer().server
  const vm = await server.createVm({ name: 'web-1', shares: [share] }).unwrap()
  expect(vm.config.shares).toEqual([{ ...share, readOnly: false, type: '9p' }])
  expect((await vm.clone({ name: 'web-2' }).unwrap()).config.shares).toEqual(vm.config.shares)
  await vm.edit({ shares: [] }).unwrap()
  expect(vm.config).not.toHaveProperty('shares')
})
