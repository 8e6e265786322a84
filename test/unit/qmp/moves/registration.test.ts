import { execFileSync } from 'node:child_process'
import {
  cpSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { connect, type Vm } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { missingQemu, skipWithout } from '../../../support/optional-tool.js'
import { QmpHost } from '../../../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

const asideOf = (host: QmpHost, { id }: Pick<Vm, 'id'>): string => join(host.directory, 'unregistered', id)

/** The folder of an unregistered VM, moved elsewhere. */
async function foundFolder(host: QmpHost): Promise<string> {
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  await host.boot(vm)
  await vm.stop({ mode: 'kill' }).unwrap()
  await vm.createSnapshot({ name: 'one' }).unwrap()
  await vm.unregister().unwrap()
  const folder = join(host.folder, 'found')
  renameSync(asideOf(host, vm), folder)
  return folder
}

interface Written {
  name: string
  movedFrom?: string
  readonly hardware: { readonly disks: Record<string, unknown>[]; readonly boot: { kernel?: string } }
  readonly snapshots: { readonly id: string; readonly parentId?: string }[]
}

/** Changes the definition in a folder, which is only checked at registration. */
function rewrite(folder: string, change: (definition: Written) => void): void {
  const path = join(folder, 'vm.json')
  const definition = JSON.parse(readFileSync(path, 'utf8')) as Written
  change(definition)
  writeFileSync(path, JSON.stringify(definition))
}

const diskIn = (folder: string): string =>
  join(
    folder,
    readdirSync(folder).find((name) => name.startsWith('disk-'))!,
  )

test('an unregistered VM can be registered in another directory, with its memory, snapshots and bases', async () => {
  await using host = await QmpHost.open()
  await using other = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  const first = await host.boot(vm)
  await first.writeDisk(7)
  await vm.stop().unwrap()
  const clone = await vm.clone({ name: 'clone', linked: true }).unwrap()
  const guest = await host.boot(clone)
  await guest.writeDisk(8)
  const { id } = await clone.createSnapshot({ name: 'one' }).unwrap()
  await guest.writeDisk(9)
  await clone.suspend().unwrap()
  await clone.unregister().unwrap()
  await vm.delete().unwrap()
  expect(await host.server.getVmList().unwrap()).toEqual([])

  const events = other.server.events({ types: ['created'] })
  const back = await other.server.registerVm(asideOf(host, clone)).unwrap()
  expect(back).toMatchObject({ id: clone.id, name: 'clone', state: 'suspended', config: clone.config })
  for await (const event of events) {
    expect(event).toMatchObject({ vmId: clone.id })
    break
  }
  await back.switchToSnapshot(id).unwrap()
  await back.stop({ mode: 'kill' }).unwrap()
  const again = await other.boot(back)
  expect(await again.readDisk()).toBe(8)
  await back.stop({ mode: 'kill' }).unwrap()
  expect(await other.damage(back)).toEqual([])
  expect(readdirSync(join(host.directory, 'unregistered'))).toEqual([])
})

test('a VM whose name or id is taken is not registered, and its folder stays', async () => {
  await using host = await QmpHost.open()
  const folder = await foundFolder(host)
  const other = await host.createVm()
  await failureOf(host.server.registerVm(folder), 'ALREADY_EXISTS')
  await other.edit({ name: 'web-2' }).unwrap()
  const copy = join(host.folder, 'copy')
  cpSync(folder, copy, { recursive: true })
  const back = await host.server.registerVm(folder).unwrap()
  await back.edit({ name: 'web-3' }).unwrap()
  await failureOf(host.server.registerVm(copy), 'ALREADY_EXISTS')
  expect(readdirSync(copy)).toContain('vm.json')
  expect(await host.server.getVmList().unwrap()).toHaveLength(2)
})

test('a VM that is registered in another directory, or in use, is refused and left there', async () => {
  await using host = await QmpHost.open()
  await using other = await QmpHost.open()
  const vm = await host.createVm()
  const error = await failureOf(other.server.registerVm(host.folderOf(vm)), 'INVALID_ARGUMENT')
  expect(error.hint).toContain('vm.migrate')
  await vm.start().unwrap()
  const stray = join(host.folder, 'stray')
  renameSync(host.folderOf(vm), stray)
  await failureOf(other.server.registerVm(stray), 'RESOURCE_BUSY')
  renameSync(stray, host.folderOf(vm))
  expect(await vm.getState().unwrap()).toBe('running')
})

const traps: Record<string, (folder: string, host: QmpHost) => void> = {
  'no definition': (folder) => {
    rmSync(join(folder, 'vm.json'))
  },
  'a definition that is a link': (folder, host) => {
    renameSync(join(folder, 'vm.json'), join(host.folder, 'vm.json'))
    symlinkSync(join(host.folder, 'vm.json'), join(folder, 'vm.json'))
  },
  'a log that is a link': (folder, host) => {
    rmSync(join(folder, 'console.log'))
    symlinkSync(join(host.folder, 'secret'), join(folder, 'console.log'))
  },
  'a folder in it': (folder) => {
    mkdirSync(join(folder, 'disk-0'))
  },
  'a disk that is missing': (folder) => {
    rmSync(diskIn(folder))
  },
  'a disk that is a link': (folder, host) => {
    renameSync(diskIn(folder), join(host.folder, 'disk'))
    symlinkSync(join(host.folder, 'disk'), join(folder, 'disk-0'))
  },
  'a disk that has another name': (folder, host) => {
    linkSync(diskIn(folder), join(host.folder, 'alias'))
  },
  'a disk that is no qcow2 file': (folder) => {
    writeFileSync(diskIn(folder), Buffer.alloc(1 << 20))
  },
  'a disk upon a file of the host': (folder, host) => {
    writeFileSync(join(host.folder, 'secret'), Buffer.alloc(1 << 20))
    execFileSync('qemu-img', [
      ...['create', '-q', '-f', 'qcow2', '-b', join(host.folder, 'secret'), '-F', 'raw'],
      diskIn(folder),
    ])
  },
  'a disk with its data in a file of the host': (folder, host) => {
    const options = `data_file=${join(host.folder, 'secret')},data_file_raw=on`
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', options, diskIn(folder), '1M'])
  },
  'a claim that none can follow': (folder) => {
    writeFileSync(join(folder, 'claim,of,nobody'), '')
  },
  'a name that climbs': (folder) => {
    rewrite(folder, (definition) => (definition.name = '../web-1'))
  },
  'two disks of one id': (folder) => {
    rewrite(folder, ({ hardware }) => hardware.disks.push(hardware.disks[0]!))
  },
  'a disk that is smaller than is told': (folder) => {
    rewrite(folder, ({ hardware }) => (hardware.disks[0]!['sizeMiB'] = 2))
  },
  'a kernel that is missing': (folder) => {
    rewrite(folder, ({ hardware }) => (hardware.boot.kernel = '/missing'))
  },
  'a folder to be deleted': (folder, host) => {
    rewrite(folder, (definition) => (definition.movedFrom = host.directory))
  },
}

test.each(Object.keys(traps))('a folder with %s is not registered, and is left as it is', async (trap) => {
  await using host = await QmpHost.open()
  const folder = await foundFolder(host)
  traps[trap]?.(folder, host)
  const files = readdirSync(folder)
  await failureOf(host.server.registerVm(folder), 'INVALID_ARGUMENT')
  expect(readdirSync(folder)).toEqual(files)
  expect(await host.server.getVmList().unwrap()).toEqual([])
})

test.each([
  ['a file that climbs', 'file', '../../disk-00000000-0000-0000-0000-000000000000.qcow2'],
  ['a base for a disk', 'file', 'base-00000000-0000-0000-0000-000000000000.qcow2'],
  ['bases without end', 'bases', Array.from({ length: 65 }, () => 'base-00000000-0000-0000-0000-000000000000.qcow2')],
])('a definition with %s is refused', async (_what, key, value) => {
  await using host = await QmpHost.open()
  const folder = await foundFolder(host)
  rewrite(folder, ({ hardware }) => (hardware.disks[0]![key] = value))
  await failureOf(host.server.registerVm(folder), 'PROTOCOL_ERROR')
  expect(await host.server.getVmList().unwrap()).toEqual([])
})

test('a definition whose snapshots are on top of each other in a circle is refused', async () => {
  await using host = await QmpHost.open()
  const folder = await foundFolder(host)
  rewrite(folder, ({ snapshots }) => snapshots.push({ ...snapshots[0]!, parentId: snapshots[0]!.id }))
  await failureOf(host.server.registerVm(folder), 'PROTOCOL_ERROR')
  expect(await host.server.getVmList().unwrap()).toEqual([])
})

test('of a folder that is named by a link, the folder itself is moved, and the link stays', async () => {
  await using host = await QmpHost.open()
  const folder = await foundFolder(host)
  const link = join(host.folder, 'link')
  symlinkSync(folder, link)
  const vm = await host.server.registerVm(link).unwrap()
  await using again = await connect(host.uri).unwrap()
  expect(await (await again.getVm(vm.id).unwrap()).getState().unwrap()).toBe('stopped')
  expect(readdirSync(host.folder)).toContain('link')
})
