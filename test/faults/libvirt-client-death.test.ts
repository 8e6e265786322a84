import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type Server, type Vm } from 'awaitvm'
import { afterEach, beforeAll, beforeEach, afterAll, expect, test, vi } from 'vitest'
import { soon, within } from '../../src/testing/conformance/deadline.js'
import type { ProcedureName } from '../../src/drivers/libvirt/rpc/procedures.js'
import { Child } from '../support/child-process.js'
import { LibvirtDaemon } from '../support/libvirt-daemon.js'
import { LibvirtGate } from '../support/libvirt-gate.js'
import { missingLibvirt, skipWithout } from '../support/optional-tool.js'

const timeout = 120_000

let daemon: LibvirtDaemon
let image: string
beforeAll(async () => {
  if (missingLibvirt !== undefined) return
  daemon = await LibvirtDaemon.start()
  await daemon.definePool()
  image = join(daemon.folder, 'image.raw')
  await writeFile(image, Buffer.alloc(2 ** 20, 0x31))
}, timeout)
afterAll(async () => {
  if (missingLibvirt === undefined) await daemon[Symbol.asyncDispose]()
})
beforeEach((context) => {
  skipWithout(context, missingLibvirt)
})
afterEach(async () => {
  if (missingLibvirt !== undefined) return
  await using server = await open()
  for (const vm of await server.getVmList().unwrap()) await vm.delete({ force: true }).unwrap()
  expect(await daemon.volumes()).toEqual([])
})

const open = (socket = daemon.socket): Promise<Server> => connect(`qemu:///system?socket=${socket}`).unwrap()

/** A VM with as many disks of one mebibyte. */
async function makeVm(count: number): Promise<void> {
  await using server = await open()
  await server.createVm({ name: 'web-1', disks: Array.from({ length: count }, () => ({ sizeMiB: 1 })) }).unwrap()
}

/** Kills a process before a request of its work gets to the daemon. */
async function killAt(work: string, procedure: ProcedureName, after: number): Promise<void> {
  await using gate = await LibvirtGate.open(daemon.socket)
  await using child = new Child('host-child.ts', [`qemu:///system?socket=${gate.path}`])
  await child.printed('ready')
  const held = gate.holdAt(procedure, { after })
  child.send(work)
  await within(held, () => `${procedure} of "${work}", which said ${child.lines.join()}`)
  await child.kill()
}

const expectVolumes = (names: unknown): Promise<void> =>
  vi.waitFor(async () => expect(await daemon.volumes()).toEqual(names), soon)

/** Nothing in the definition tells of an edit any more. */
const expectNoMark = (): Promise<void> =>
  vi.waitFor(
    async () => expect(await daemon.virsh('qemu:///system', 'dumpxml', 'web-1')).not.toMatch(/editor=|awaitvm:file/),
    soon,
  )

/** The VM has its disks: QEMU opens them. */
async function expectStarts(vm: Vm): Promise<void> {
  await vm.start().unwrap()
  await vm.stop({ mode: 'kill' }).unwrap()
}

test('of a VM whose maker is killed while an image is sent, nothing is left', { timeout }, async () => {
  await killAt(`image ${image} web-1`, 'storage_vol_upload', 1)
  expect(await daemon.volumes()).toHaveLength(1)
  await using server = await open()
  expect(await server.getVmList().unwrap()).toEqual([])
  await expectVolumes([])
  await vi.waitFor(
    async () => expect((await daemon.virsh('qemu:///system', 'list', '--all', '--name')).trim()).toBe(''),
    soon,
  )
  await server.createVm({ name: 'web-1' }).unwrap()
})

test(
  'an edit that is killed while an image is sent leaves the VM as it was, and takes no later edit back',
  { timeout },
  async () => {
    await makeVm(2)
    const before = await daemon.volumes()
    await killAt(`exchange ${image} web-1`, 'storage_vol_upload', 1)
    expect(await daemon.volumes()).toHaveLength(3)
    await using server = await open()
    const vm = await server.getVm('web-1').unwrap()
    expect(vm.config.disks).toHaveLength(2)
    await vm.edit({ description: 'edited', disks: [...vm.config.disks, { sizeMiB: 3 }] }).unwrap()
    await expectNoMark()
    const { description, disks } = await vm.refresh().unwrap()
    expect(description).toBe('edited')
    expect(disks.map(({ sizeMiB }) => sizeMiB)).toEqual([1, 1, 3])
    const names = disks.map(({ id }) => expect.stringContaining(id) as string)
    const after = await daemon.volumes()
    expect(after).toHaveLength(3)
    expect(after).toEqual(expect.arrayContaining([...before, ...names]))
    await expectStarts(vm)
  },
)

test('an edit that is killed between two deletions is finished', { timeout }, async () => {
  await makeVm(2)
  await killAt(`exchange ${image} web-1`, 'storage_vol_delete', 1)
  expect(await daemon.volumes()).toHaveLength(2)
  await using server = await open()
  const vm = await server.getVm('web-1').unwrap()
  const [disk, ...others] = vm.config.disks
  expect(others).toEqual([])
  await expectVolumes([expect.stringContaining(disk?.id ?? '')])
  await expectNoMark()
  await expectStarts(vm)
})

test('the disk below a snapshot of virsh stays, also after an edit that is killed', { timeout }, async () => {
  await makeVm(1)
  const words = ['snapshot-create-as', 'web-1', 'outside', '--disk-only']
  await daemon.virsh('qemu:///system', ...words)
  const before = await daemon.volumes()
  expect(before).toHaveLength(2)
  await killAt(`extend ${image} web-1`, 'storage_vol_upload', 1)
  expect(await daemon.volumes()).toHaveLength(3)
  await using server = await open()
  await expectVolumes(before)
  await expectNoMark()
  const vm = await server.getVm('web-1').unwrap()
  await expectStarts(vm)
  await daemon.virsh('qemu:///system', 'pool-refresh', 'default')
})

test('an edit of which the last step fails is undone', { timeout }, async () => {
  await makeVm(1)
  const before = await daemon.volumes()
  await using gate = await LibvirtGate.open(daemon.socket)
  await using server = await open(gate.path)
  const vm = await server.getVm('web-1').unwrap()
  const { config } = vm
  gate.refuse('domain_rename')
  const changes = { name: 'web-2', description: 'edited', disks: [...config.disks, { sizeMiB: 2 }] }
  expect((await vm.edit(changes))._unsafeUnwrapErr()).toMatchObject({ native: { message: 'refused by the test' } })
  expect(await vm.refresh().unwrap()).toEqual(config)
  expect(await daemon.volumes()).toEqual(before)
  await expectNoMark()
})

test('an edit that can neither be finished nor undone says so', { timeout }, async () => {
  await makeVm(1)
  await using gate = await LibvirtGate.open(daemon.socket)
  await using server = await open(gate.path)
  const vm = await server.getVm('web-1').unwrap()
  gate.refuse('domain_define_xml_flags', { after: 1 })
  const error = (await vm.edit({ disks: [...vm.config.disks, { sizeMiB: 2 }] }))._unsafeUnwrapErr()
  expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', native: { message: 'refused by the test' } })
  expect(error.reason).toMatch(/neither be finished \(.+\) nor undone \(.+\)/)
})

test('an edit is done also if the files of its former disks can not be deleted', { timeout }, async () => {
  await makeVm(2)
  await using gate = await LibvirtGate.open(daemon.socket)
  await using server = await open(gate.path)
  const vm = await server.getVm('web-1').unwrap()
  const [first, second] = vm.config.disks
  const warned = vi.spyOn(process, 'emitWarning').mockReturnValue()
  gate.refuse('storage_vol_delete', { after: 1 })
  await vm.edit({ deleteDisks: [first?.id ?? '', second?.id ?? ''], name: 'web-2' }).unwrap()
  expect(warned).toHaveBeenCalledExactlyOnceWith(expect.stringContaining('refused by the test'), 'AwaitvmWarning')
  warned.mockRestore()
  expect(await vm.refresh().unwrap()).toMatchObject({ name: 'web-2', disks: [] })
  expect(await daemon.volumes()).toEqual([expect.stringContaining(second?.id ?? '')])
})

test(
  'a creation that is cancelled, and leaves a draft since the connection is lost, is not told as cancelled',
  { timeout },
  async () => {
    await using gate = await LibvirtGate.open(daemon.socket)
    await using server = await open(gate.path)
    const held = gate.holdAt('storage_vol_upload', { after: 1 })
    const job = server.createVm({ name: 'web-1', disks: [{ image }] })
    await within(held, () => 'the upload')
    const ended = Promise.all([job, job.cancel()])
    await gate[Symbol.asyncDispose]()
    const [result] = await ended
    const error = result._unsafeUnwrapErr()
    expect(error).toMatchObject({
      code: 'OUTCOME_UNKNOWN',
      reason: expect.stringMatching(/it was cancelled.+nor undone/),
    })
    // Its process has not ended, so that no connection removes it.
    for (const volume of await daemon.volumes())
      await daemon.virsh('qemu:///system', 'vol-delete', volume, '--pool', 'default')
    await daemon.virsh('qemu:///system', 'undefine', 'web-1')
  },
)
