import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { findHelper } from '../../../../src/drivers/qmp/network/bridges.js'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { missingQemu, skipWithout } from '../../../support/optional-tool.js'
import { qemusIn } from '../../../support/qemu-processes.js'
import { QmpHost } from '../../../support/qmp-host.js'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'awaitvm-bridges-'))
})
afterEach(() => {
  rmSync(root, { recursive: true })
})

const bridge = (name: string): void => {
  mkdirSync(join(root, 'sys/class/net', name, 'bridge'), { recursive: true })
}
const helper = (path: string, mode: number): string => {
  const file = join(root, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, '', { mode })
  return file
}

test.each(['usr/lib/qemu', 'usr/libexec'])('the helper is found in /%s', async (folder) => {
  bridge('br0')
  const file = helper(join(folder, 'qemu-bridge-helper'), 0o755)
  expect(await findHelper('br0', root)).toBe(file)
})

test('an interface that is no bridge is refused', async () => {
  helper('usr/lib/qemu/qemu-bridge-helper', 0o755)
  mkdirSync(join(root, 'sys/class/net/eth0'), { recursive: true })
  await expect(findHelper('eth0', root)).rejects.toMatchObject({
    code: 'HOST_ERROR',
    message: expect.stringContaining('has no bridge eth0'),
    hint: expect.stringContaining('ip link add eth0 type bridge'),
  })
})

test('a helper that is missing, or may not be run, is named with its packages', async () => {
  bridge('br0')
  helper('usr/lib/qemu/qemu-bridge-helper', 0o644)
  await expect(findHelper('br0', root)).rejects.toMatchObject({
    code: 'HOST_TOOL_NOT_FOUND',
    hint: expect.stringContaining('qemu-system-common'),
  })
})

test('a VM on a bridge that this computer does not have is made and kept, and not started', async (context) => {
  skipWithout(context, missingQemu)
  await using host = await QmpHost.open()
  const vm = await host.createVm({ networkAdapters: [{}, { network: { bridge: 'no-such-bridge' } }] })
  expect(vm.config.networkAdapters?.[1]?.network).toEqual({ bridge: 'no-such-bridge' })
  const error = await failureOf(vm.start(), 'HOST_ERROR')
  expect(error.message).toContain('this computer has no bridge no-such-bridge')
  expect(await vm.getState().unwrap()).toBe('stopped')
  expect(await qemusIn(host.directory)).toEqual([])
})
