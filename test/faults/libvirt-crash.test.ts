import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type Server, type Vm } from 'awaitvm'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { LibvirtDaemon } from '../support/libvirt-daemon.js'
import { missingLibvirt, skipWithout } from '../support/optional-tool.js'

const timeout = 120_000

/** A boot sector that tells QEMU's pvpanic device, at its port 0x505, that the guest has panicked: `mov dx, 0x505; mov al, 1; out dx, al`. */
const panics = [0xba, 0x05, 0x05, 0xb0, 0x01, 0xee]
/** `hlt; jmp $-1`: it does nothing more. */
const idles = [0xf4, 0xeb, 0xfd]

let daemon: LibvirtDaemon
let image: string
beforeAll(async () => {
  if (missingLibvirt !== undefined) return
  daemon = await LibvirtDaemon.start()
  await daemon.definePool()
  image = join(daemon.folder, 'panic.raw')
  const disk = Buffer.alloc(2 ** 20)
  disk.set([...panics, ...idles])
  disk.set([0x55, 0xaa], 510)
  await writeFile(image, disk)
}, timeout)
afterAll(async () => {
  if (missingLibvirt === undefined) await daemon[Symbol.asyncDispose]()
})
beforeEach((context) => {
  skipWithout(context, missingLibvirt)
})

/** A VM that has crashed, and whose QEMU libvirt keeps. */
async function makeCrashed(server: Server): Promise<Vm> {
  const vm = await server.createVm({ name: 'web-1', disks: [{ image }] }).unwrap()
  const text = await daemon.virsh('qemu:///system', 'dumpxml', 'web-1')
  const file = join(daemon.folder, 'preserved.xml')
  const preserving = text
    .replace(/<on_crash>.*?<\/on_crash>/, '')
    .replace('<devices>', "<on_crash>preserve</on_crash><devices><panic model='isa'/>")
  await writeFile(file, preserving)
  await daemon.virsh('qemu:///system', 'define', file)
  await vm.start().unwrap()
  await vm.waitForState('crashed').unwrap()
  expect(await daemon.virsh('qemu:///system', 'list', '--name'), 'its QEMU is there').toContain('web-1')
  return vm
}

test('a crashed VM whose QEMU libvirt keeps is started anew', { timeout }, async () => {
  await using server = await connect(`qemu:///system?socket=${daemon.socket}`).unwrap()
  const vm = await makeCrashed(server)
  const [volume = ''] = await daemon.volumes()
  await using disk = await open(join(daemon.folder, 'lib/images', volume), 'r+')
  await disk.write(Buffer.from(idles))
  await vm.start().unwrap()
  expect(await vm.getState().unwrap()).toBe('running')
  await vm.delete({ force: true }).unwrap()
})

test('one that is deleted ends, with its disks', { timeout }, async () => {
  await using server = await connect(`qemu:///system?socket=${daemon.socket}`).unwrap()
  const vm = await makeCrashed(server)
  await vm.delete().unwrap()
  expect((await daemon.virsh('qemu:///system', 'list', '--all', '--name')).trim()).toBe('')
  expect(await daemon.volumes()).toEqual([])
})
