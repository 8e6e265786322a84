import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Vm, VmSpec } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import type { Definition } from '../../../../src/drivers/qmp/definition.js'
import { diskNode } from '../../../../src/drivers/qmp/disks/disk-devices.js'
import { nodeNames } from '../../../../src/drivers/qmp/disks/plugged-disks.js'
import { openMonitor } from '../../../../src/drivers/qmp/process/monitor.js'
import { ConsoleReader } from '../../../../src/testing/conformance/console-reader.js'
import { debianWithAgent } from '../../../support/debian-with-agent.js'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { missingQemu, skipWithout } from '../../../support/optional-tool.js'
import { QmpHost } from '../../../support/qmp-host.js'

beforeEach(async (context) => {
  skipWithout(context, missingQemu ?? (await debianWithAgent()).unavailable)
})

/** A running Linux, and its shell. */
async function bootLinux(host: QmpHost, spec: Partial<VmSpec> = {}): Promise<{ vm: Vm; shell: Shell }> {
  const linux = await debianWithAgent()
  if (linux.unavailable !== undefined) throw new Error(linux.unavailable)
  const { kernel, initrd } = linux
  const boot = { kernel, initrd, commandLine: 'console=ttyS0 quiet' }
  const vm = await host.server.createVm({ name: 'linux', memoryMiB: 192, boot, ...spec }).unwrap()
  await vm.start().unwrap()
  const shell = new Shell(vm)
  await shell.console.until('shell ready')
  return { vm, shell }
}

class Shell {
  readonly console: ConsoleReader

  constructor(vm: Vm) {
    this.console = new ConsoleReader(vm.console())
  }

  /** The output of a command. The mark is typed in two parts, so that its echo is not taken for the output. */
  async run(command: string): Promise<string> {
    const mark = randomUUID()
    this.console.send(`echo be""gin ${mark}; ${command}; echo en""d ${mark}`)
    const [, said] = await this.console.until(new RegExp(`begin ${mark}\\r\\n([^]*?)end ${mark}\\r\\n`))
    return said!.replaceAll('\r', '').trim()
  }

  /** Waits until a condition holds in the guest. */
  async until(condition: string): Promise<void> {
    await this.run(`until ${condition}; do sleep 0.1; done`)
  }
}

/** How many files of disks QEMU has open by a name. */
async function openDisks(host: QmpHost, vm: Vm): Promise<number> {
  const monitor = await openMonitor(host.folderOf(vm), 'watch.sock')
  try {
    return (await nodeNames(monitor)).filter((name) => name.startsWith('disk-')).length
  } finally {
    await monitor.close()
  }
}

const megabytes = "awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo"

test('Linux sees plugged disks, keeps them over a suspension and a snapshot, and releases them', async () => {
  await using host = await QmpHost.open()
  const { vm, shell } = await bootLinux(host)
  expect(await shell.run('ls /dev/vd*')).toContain('No such file')

  const { disks } = await vm.edit({ disks: [{ sizeMiB: 8 }, { sizeMiB: 16 }] }).unwrap()
  const [first] = disks
  await shell.until('[ -b /dev/vda -a -b /dev/vdb ]')
  expect(await shell.run('cat /sys/block/vda/size /sys/block/vdb/size')).toBe('16384\n32768')
  await shell.run('echo of the first > /dev/vda; echo of the second > /dev/vdb; sync')
  const snapshot = await vm.createSnapshot({ name: 'both' }).unwrap()

  await vm.suspend().unwrap()
  await vm.resume().unwrap()
  const resumed = new Shell(vm)
  expect(await resumed.run('echo 3 > /proc/sys/vm/drop_caches; head -n 1 /dev/vda /dev/vdb')).toMatch(
    /of the first[^]*of the second/,
  )

  const clones = [
    await vm.clone({ name: 'linked', linked: true }).unwrap(),
    await vm.clone({ name: 'twin', memory: true }).unwrap(),
  ]
  const twin = new Shell(clones[1]!)
  await twin.until('[ -b /dev/vda ]')
  await twin.run('echo of the twin > /dev/vda; sync')
  await vm.edit({ deleteDisks: [first!.id] }).unwrap()
  expect(await openDisks(host, vm), 'the disk that is left, and the two files that became bases').toBe(3)
  for (const clone of clones) await clone.delete({ force: true }).unwrap()
  expect(await resumed.run('ls /dev/vd*')).toBe('/dev/vdb')
  expect(await resumed.run('echo 3 > /proc/sys/vm/drop_caches; head -n 1 /dev/vdb')).toBe('of the second')
  await vm.suspend().unwrap()
  await vm.resume().unwrap()
  expect(await new Shell(vm).run('ls /dev/vd*')).toBe('/dev/vdb')

  await vm.switchToSnapshot(snapshot.id).unwrap()
  expect(vm.state).toBe('running')
  const back = new Shell(vm)
  expect(await back.run('echo 3 > /proc/sys/vm/drop_caches; head -n 1 /dev/vda /dev/vdb')).toMatch(
    /of the first[^]*of the second/,
  )
  expect((await vm.refresh().unwrap()).disks).toEqual(disks)
  await vm.edit({ disks: disks.map(({ id }, index) => ({ id, ...(index === 0 && { sizeMiB: 24 }) })) }).unwrap()
  await back.until('[ $(cat /sys/block/vda/size) = 49152 ]')
  expect(await back.run('cat /sys/block/vdb/size')).toBe('32768')

  await vm.stop({ mode: 'kill' }).unwrap()
  await vm.start().unwrap()
  const restarted = new Shell(vm)
  await restarted.console.until('shell ready')
  expect(await restarted.run('head -n 1 /dev/vda /dev/vdb')).toMatch(/of the first[^]*of the second/)
  await vm.stop({ mode: 'kill' }).unwrap()
  expect(await host.damage(vm)).toEqual([])
})

test('Linux gives memory back and gets it again, up to the size that it was started with', async () => {
  await using host = await QmpHost.open()
  const { vm, shell } = await bootLinux(host)
  const whole = Number(await shell.run(megabytes))
  expect((await vm.edit({ memoryMiB: 144 }).unwrap()).memoryMiB).toBe(144)
  await shell.until(`[ $(${megabytes}) -le ${whole - 48} ]`)
  expect((await vm.getStatistics().unwrap()).memoryMiB).toBe(144)

  await vm.suspend().unwrap()
  await vm.resume().unwrap()
  const resumed = new Shell(vm)
  expect(Number(await resumed.run(megabytes))).toBe(whole - 48)
  await vm.edit({ memoryMiB: 192 }).unwrap()
  await resumed.until(`[ $(${megabytes}) -ge ${whole} ]`)

  const error = await failureOf(vm.edit({ memoryMiB: 193, description: 'half of it' }), 'INVALID_STATE')
  expect(error.message).toContain(
    "it was started with 192 MiB of memory, which it can't exceed. Give it at most 192 MiB",
  )
  expect(await vm.refresh().unwrap()).toMatchObject({ memoryMiB: 192, description: '' })
})

test('a disk that was there from the start can be removed, and moves no other device', async () => {
  await using host = await QmpHost.open()
  const disks = [5, 6].map((sizeMiB) => ({ sizeMiB }))
  const { vm, shell } = await bootLinux(host, { disks, networkAdapters: [{}] })
  const sizes = 'cat /sys/block/vd*/size'
  expect(await shell.run(sizes)).toBe('10240\n12288')
  const slots = `for device in /sys/bus/virtio/drivers/virtio_net/virtio* /sys/bus/virtio/drivers/virtio_blk/virtio*; do
    readlink $device | sed 's,/virtio.*,,; s,.*/,,'; done`.replaceAll('\n', ' ')
  const [network, , second] = (await shell.run(slots)).split('\n')
  await vm.edit({ deleteDisks: [vm.config.disks[0]!.id] }).unwrap()
  await vm.suspend().unwrap()
  await vm.resume().unwrap()
  const resumed = new Shell(vm)
  expect(await resumed.run(sizes)).toBe('12288')
  expect((await resumed.run(slots)).split('\n')).toEqual([network, second])
  expect(await resumed.run('ip link show eth0 | wc -l')).toBe('2')
})

test('an edit that fails after the guest has released a disk plugs it again, with its content', async () => {
  await using host = await QmpHost.open()
  const { vm, shell } = await bootLinux(host)
  const { disks } = await vm.edit({ disks: [{ sizeMiB: 8 }, { sizeMiB: 8 }] }).unwrap()
  await shell.until('[ -b /dev/vda -a -b /dev/vdb ]')
  await shell.run('echo of the first > /dev/vda; echo of the second > /dev/vdb; sync')
  const { hardware } = JSON.parse(await readFile(join(host.folderOf(vm), 'vm.json'), 'utf8')) as Definition
  const monitor = await openMonitor(host.folderOf(vm), 'watch.sock')
  await monitor.execute('blockdev-add', { driver: 'null-co', 'node-name': 'sink', size: 2 ** 23, 'read-zeroes': true })
  // QEMU does not resize a disk that is being mirrored.
  const mirror = { 'job-id': 'endless', device: diskNode(hardware.disks[1]!), target: 'sink', sync: 'full' }
  await monitor.execute('blockdev-mirror', mirror)
  await monitor.close()

  const [first, second] = disks
  const changes = { disks: [{ ...second!, sizeMiB: 16 }], deleteDisks: [first!.id], description: 'half of it' }
  await failureOf(vm.edit(changes), 'HOST_ERROR')
  expect(await vm.refresh().unwrap()).toMatchObject({ description: '', disks })
  await shell.until('[ -b /dev/vda -a -b /dev/vdb ]')
  const content = 'echo 3 > /proc/sys/vm/drop_caches; head -n 1 /dev/vda /dev/vdb'
  expect(await shell.run(content)).toMatch(/of the first[^]*of the second|of the second[^]*of the first/)
  await vm.stop({ mode: 'kill' }).unwrap()
  await vm.start().unwrap()
  const restarted = new Shell(vm)
  await restarted.console.until('shell ready', 120_000)
  expect(await restarted.run('head -n 1 /dev/vda /dev/vdb')).toMatch(/of the first[^]*of the second/)
})
