import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DiskBus, MachineType, VmSpec } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { ConsoleReader } from '../../../../src/testing/conformance/console-reader.js'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { debianWithAgent } from '../../../support/debian-with-agent.js'
import { missingQemu, skipWithout } from '../../../support/optional-tool.js'
import { QmpHost } from '../../../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

/** Prints `booted` to COM1: mov si, text; lodsb; test al, al; jz; mov dx, 3F8; out dx, al; and halts. */
function bootSector(): Buffer {
  const sector = Buffer.alloc(512)
  sector.write('31c08ed8fcbe167cac84c07406baf803eeebf5f4ebfd', 'hex')
  sector.write('booted\r\n', 0x16)
  sector.writeUInt16LE(0xaa55, 510)
  return sector
}

test.each<[MachineType, DiskBus]>([
  ['q35', 'virtio'],
  ['q35', 'scsi'],
  ['q35', 'sata'],
  ['pc', 'virtio'],
  ['pc', 'scsi'],
  ['pc', 'ide'],
])('a BIOS on the machine %s boots from a disk on the bus %s', async (machine, bus) => {
  await using host = await QmpHost.open()
  const image = join(host.folder, 'boot.raw')
  await writeFile(image, Buffer.concat([bootSector(), Buffer.alloc(2 ** 20 - 512)]))
  const vm = await host.createVm({ machine, disks: [{ image, bus }], boot: {} })
  expect(vm.config).toMatchObject({ machine, disks: [{ image, bus }] })
  await vm.start().unwrap()
  await new ConsoleReader(vm.console()).until('booted')
  await vm.stop({ mode: 'kill' }).unwrap()
})

test.each<[MachineType, DiskBus[], string[]]>([
  ['q35', ['virtio', 'scsi'], ['virtio/block', 'virtio/host/block']],
  ['pc', ['virtio', 'scsi', 'ide'], ['virtio/block', 'virtio/host/block', 'ata/host/block']],
])('Linux on the machine %s sees disks on the buses %j', async (machine, buses, expected) => {
  const linux = await debianWithAgent()
  if (linux.unavailable !== undefined) throw new Error(linux.unavailable)
  await using host = await QmpHost.open()
  const boot = { kernel: linux.kernel, initrd: linux.initrd, commandLine: 'console=ttyS0 quiet' }
  const disks = buses.map((bus, index) => ({ sizeMiB: 1 + index, bus }))
  const vm = await host.createVm({ machine, disks, boot, memoryMiB: 192 })
  await vm.start().unwrap()
  await vm.guest.waitUntilReady().unwrap()
  const list = 'for disk in /sys/block/[sv]d*; do echo $(cat $disk/size) $(readlink -f $disk); done | sort -n'
  const { stdout } = await vm.guest.exec(list).unwrap()
  const seen = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
  expect(seen.map(([sectors]) => Number(sectors))).toEqual(disks.map(({ sizeMiB }) => sizeMiB * 2048))
  const wayTo = (path = ''): string =>
    [...path.matchAll(/\/(virtio|ata|host|block)\d*(?=\/)/g)].map(([, part]) => part).join('/')
  expect(seen.map(([, path]) => wayTo(path))).toEqual(expected)
  await vm.stop({ mode: 'kill' }).unwrap()
})

test('a new VM has the machine q35 with virtio disks and a CD-ROM drive of SATA, unless it is asked for others', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }], cdroms: [{ image: host.kernel }] })
  expect(vm.config).toMatchObject({ machine: 'q35', disks: [{ bus: 'virtio' }], cdroms: [{ bus: 'sata' }] })
  const old = await host.createVm({ name: 'old', machine: 'pc', cdroms: [{ image: host.kernel }] })
  expect(old.config).toMatchObject({ machine: 'pc', cdroms: [{ bus: 'ide' }] })
})

test.each<[string, Partial<VmSpec>, string, string]>([
  [
    'a bus that the machine lacks',
    { disks: [{ sizeMiB: 1 }, { sizeMiB: 1, bus: 'ide' }] },
    'spec.disks[1].bus',
    "Use 'sata', or machine: 'pc'.",
  ],
  [
    'a drive on a bus that the machine lacks',
    { machine: 'pc', cdroms: [{ image: '/dev/null', bus: 'sata' }] },
    'spec.cdroms[0].bus',
    "Use 'ide', or machine: 'q35'.",
  ],
  [
    'more drives than a bus has room for',
    { disks: Array.from({ length: 7 }, () => ({ sizeMiB: 1, bus: 'sata' as const })) },
    'spec.disks',
    "Give some of the disks the bus 'virtio'.",
  ],
])('%s is refused, and no VM is made', async (_what, spec, path, hint) => {
  await using host = await QmpHost.open()
  const made = await host.server.createVm({ name: 'web-1', ...spec })
  const error = await failureOf(Promise.resolve(made), 'INVALID_ARGUMENT')
  expect([error.path, error.hint]).toEqual([path, hint])
  expect(await host.server.getVmList().unwrap()).toEqual([])
})

test('machine and buses change while a VM is stopped, and its content stays', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  const guest = await host.boot(vm)
  await guest.writeDisk(0x5a)
  const refusal = await failureOf(vm.edit({ machine: 'pc' }), 'INVALID_STATE')
  expect(refusal.message).toContain('its machine only changes while it is stopped')
  await vm.stop({ mode: 'kill' }).unwrap()
  const [disk] = vm.config.disks
  const changes: Partial<VmSpec> = { machine: 'pc' }
  const { disks } = await vm.edit({ ...changes, disks: [{ ...disk!, bus: 'ide' }] }).unwrap()
  expect(disks).toEqual([{ ...disk!, bus: 'ide' }])
  expect(await (await host.boot(vm)).readDisk()).toBe(0x5a)
  await vm.stop({ mode: 'kill' }).unwrap()
  await failureOf(vm.edit({ machine: 'q35' }), 'INVALID_ARGUMENT')
  await vm.edit({ machine: 'q35', disks: [{ id: disk!.id, bus: 'virtio' }] }).unwrap()
  expect(await (await host.boot(vm)).readDisk()).toBe(0x5a)
})

test('a VM of an older awaitvm keeps its machine and its drives where they were', async () => {
  await using host = await QmpHost.open()
  const disks = [1, 2, 3, 4].map((sizeMiB) => ({ sizeMiB }))
  const vm = await host.createVm({ machine: 'pc', disks, cdroms: [{ image: host.kernel }] })
  const file = join(host.folderOf(vm), 'vm.json')
  await writeFile(file, (await readFile(file, 'utf8')).replaceAll(/"bus": ?"virtio",?/g, ''))
  const buses = ['ide', 'ide', 'ide', 'virtio']
  const { config } = await vm
    .refresh()
    .unwrap()
    .then(() => vm)
  expect(config).toMatchObject({ machine: 'pc', cdroms: [{ bus: 'ide' }] })
  expect(config.disks.map(({ bus }) => bus)).toEqual(buses)
  await vm.edit({ disks: [...config.disks, { sizeMiB: 5 }] }).unwrap()
  expect(vm.config.disks.map(({ bus }) => bus)).toEqual([...buses, 'virtio'])
})
