import { lstat, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Vm } from 'awaitvm'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { endLeftCompanions, startCompanions } from '../../../../src/drivers/qmp/process/companion.js'
import { virtiofsdsOf } from '../../../../src/drivers/qmp/shares/virtiofsd.js'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { bootAgentGuest } from '../../../support/agent-guest.js'
import { debianWithShares } from '../../../support/debian-with-agent.js'
import { missingQemu, missingVirtiofsd, skipWithout } from '../../../support/optional-tool.js'
import { virtiofsdsFor } from '../../../support/qemu-processes.js'
import { QmpHost } from '../../../support/qmp-host.js'

let unavailable: string | undefined
let host: QmpHost
let vm: Vm
let folder: string

beforeAll(async () => {
  unavailable = missingQemu ?? missingVirtiofsd ?? (await debianWithShares()).unavailable
  if (unavailable !== undefined) return
  host = await QmpHost.open()
  folder = join(host.folder, 'project')
  await mkdir(folder)
  await writeFile(join(folder, 'from-host'), 'written on the host')
  const shares = [
    { path: folder, tag: 'project', type: 'virtiofs' },
    { path: folder, tag: 'again', type: '9p', readOnly: true },
  ] as const
  vm = (await bootAgentGuest(host, { memoryMiB: 256, shares }, debianWithShares)).vm
}, 300_000)
afterAll(async () => {
  if (unavailable === undefined) await host[Symbol.asyncDispose]()
})
beforeEach((context) => {
  skipWithout(context, unavailable)
})

const timeout = 180_000

const inGuest = async (command: string): Promise<string> =>
  (await vm.guest.exec(command, { check: true }).unwrap()).stdout.trim()

test('a guest has a folder by virtiofs and one by 9p', { timeout }, async () => {
  await inGuest('mkdir -p /project /again; mount -t virtiofs project /project')
  await inGuest('mount -t 9p -o trans=virtio,version=9p2000.L again /again')
  expect(await inGuest('cat /project/from-host /again/from-host')).toBe('written on the host'.repeat(2))
  await inGuest(
    'echo written in the guest >/project/from-guest; chmod 750 /project/from-guest; ln -s from-host /project/link',
  )
  expect(await readFile(join(folder, 'from-guest'), 'utf8')).toBe('written in the guest\n')
  expect((await lstat(join(folder, 'from-guest'))).mode & 0o777).toBe(0o750)
  expect((await lstat(join(folder, 'link'))).isSymbolicLink()).toBe(true)
  expect(await inGuest('cat /again/from-guest /project/link')).toBe('written in the guest\nwritten on the host')
})

test('a guest gets no further than the folder, and makes no devices', { timeout }, async () => {
  await writeFile(join(host.folder, 'secret'), 'of the host')
  await inGuest('echo of the guest >/secret; ln -s ../secret /project/out')
  expect(await inGuest('cat /project/out')).toBe('of the guest')
  const { exitCode, stderr } = await vm.guest.exec('mknod /project/disk b 8 0').unwrap()
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining('Operation not permitted')])
})

test('memory is not saved, mounted or not, and the guest goes on', { timeout }, async () => {
  await inGuest('umount /again; umount /project')
  for (const save of [
    () => vm.suspend(),
    () => vm.createSnapshot({ name: 'x' }),
    () => vm.clone({ name: 'twin', memory: true }),
  ]) {
    const error = await failureOf(save(), 'INVALID_STATE')
    expect(error.message).toContain("this QEMU can't save the memory of a VM that shares a folder by virtiofs")
    expect(await vm.getState().unwrap()).toBe('running')
  }
  expect(await inGuest('mount -t virtiofs project /project && cat /project/from-host')).toBe('written on the host')
})

test('a VM and its copy share the folder at the same time; virtiofsd ends with each', { timeout }, async () => {
  const copy = await vm.clone({ name: 'copy' }).unwrap()
  await copy.start().unwrap()
  expect([(await virtiofsdsFor(vm.id)).length > 0, (await virtiofsdsFor(copy.id)).length > 0]).toEqual([true, true])
  await copy.delete({ force: true }).unwrap()
  expect(await virtiofsdsFor(copy.id)).toEqual([])
  process.kill(await host.pidOf(vm), 'SIGKILL')
  await vm.waitForState('crashed').unwrap()
  await vi.waitUntil(async () => (await virtiofsdsFor(vm.id)).length === 0, { timeout: 20_000 })
})

test('a VM is told of whose virtiofsd has ended, and goes on', { timeout }, async () => {
  await vm.start().unwrap()
  for (const pid of await virtiofsdsFor(vm.id)) process.kill(pid, 'SIGKILL')
  await vi.waitUntil(async () => (await vm.refresh()).isOk() && vm.problem !== undefined, { timeout: 20_000 })
  expect(vm.problem?.message).toContain("its guest can't use that any more")
  expect(await vm.getState().unwrap()).toBe('running')
  await vm.stop({ mode: 'kill' }).unwrap()
  await vm.start().unwrap()
  expect((await host.server.getVm(vm.id).unwrap()).problem).toBeUndefined()
  await vm.stop({ mode: 'kill' }).unwrap()
})

test('a virtiofsd whose QEMU never came is found by its folder, and ended', async () => {
  const shares = [{ path: folder, tag: 'project', readOnly: false, type: 'virtiofs' }] as const
  await startCompanions(host.folderOf(vm), virtiofsdsOf(vm.id, shares), new AbortController().signal)
  expect(await virtiofsdsFor(vm.id)).toHaveLength(1)
  await endLeftCompanions(host.folderOf(vm))
  expect(await virtiofsdsFor(vm.id)).toEqual([])
})

test('what virtiofsd does not do is refused by its path', async () => {
  const only = await failureOf(
    host.server.createVm({ name: 'ro', shares: [{ path: folder, tag: 'a', type: 'virtiofs', readOnly: true }] }),
    'NOT_SUPPORTED',
  )
  expect([only.capability, only.path]).toEqual(['spec.shares.readOnly', 'spec.shares[0].readOnly'])
  const odd = join(host.folder, 'a,modcaps=+mknod')
  await mkdir(odd)
  const error = await failureOf(
    host.server.createVm({ name: 'odd', shares: [{ path: odd, tag: 'a', type: 'virtiofs' }] }),
    'INVALID_ARGUMENT',
  )
  expect(error.path).toBe('spec.shares[0].path')
})
