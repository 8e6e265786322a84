import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type Server, type Vm } from 'awaitvm'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { builtInGuest } from '../../../src/drivers/embedded/machine/guest.js'
import { SerialGuest } from '../../../src/testing/conformance/serial-guest.js'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'
import { missingQemu, skipWithout } from '../../support/optional-tool.js'
import { qemusIn } from '../../support/qemu-processes.js'

let parent: string
let directory: string
let kernel: string
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'awaitvm-lost-'))
  directory = join(parent, 'vms')
  kernel = join(parent, 'guest.bin')
  writeFileSync(kernel, builtInGuest())
})
afterEach(async () => {
  for (const pid of await qemusIn(directory)) process.kill(pid, 'SIGKILL')
  rmSync(parent, { recursive: true, maxRetries: 3 })
})

const folderOf = ({ id }: Vm): string => join(directory, 'vms', id)
const filesOf = (vm: Vm): string[] => readdirSync(folderOf(vm)).filter((name) => /^(?:disk|base|memory)-/.test(name))
const pathOf = (vm: Vm, kind: string): string => {
  const name = filesOf(vm).find((file) => file.startsWith(kind) && !file.endsWith('.map'))
  if (name === undefined) throw new Error(`The VM has no file ${kind}*`)
  return join(folderOf(vm), name)
}

const createVm = (server: Server): Promise<Vm> =>
  server.createVm({ name: 'web-1', memoryMiB: 16, disks: [{ sizeMiB: 1 }], boot: { kernel } }).unwrap()

async function boot(vm: Vm): Promise<SerialGuest> {
  await vm.start().unwrap()
  const guest = new SerialGuest(vm)
  await guest.untilReady()
  return guest
}

/** What must be the same after a refusal. */
const whole = (vm: Vm): unknown => [
  readFileSync(join(folderOf(vm), 'vm.json'), 'utf8'),
  filesOf(vm),
  readdirSync(join(directory, 'vms')).filter((name) => !name.startsWith('.')),
]

/** The operation is refused with the name of the file and the way out, and nothing has changed. */
async function expectRefusal(
  vm: Vm,
  operation: () => Parameters<typeof failureOf>[0],
  path: string,
  wayOut: string,
): Promise<void> {
  const before = [whole(vm), await vm.getState().unwrap()]
  const error = await failureOf(operation(), 'PROTOCOL_ERROR')
  expect(error.message).toContain(path)
  expect(error.hint).toContain('Put the file back')
  expect(error.hint).toContain(wayOut)
  expect([whole(vm), await vm.getState().unwrap()]).toEqual(before)
}

const losses = {
  missing: (path: string) => {
    rmSync(path)
  },
  empty: (path: string) => {
    truncateSync(path, 0)
  },
}

describe.each(['embedded', 'qmp'])('a VM of %s', (scheme) => {
  beforeEach((context) => {
    if (scheme === 'qmp') skipWithout(context, missingQemu)
  })
  const open = (): Promise<Server> => connect(`${scheme}://${directory}`).unwrap()

  test.each(Object.entries(losses))('whose disk is %s is left as it is, and can do without it', async (_, lose) => {
    await using server = await open()
    const vm = await createVm(server)
    const guest = await boot(vm)
    await guest.writeDisk(0x41)
    await vm.stop({ mode: 'kill' }).unwrap()
    const [disk] = vm.config.disks
    const path = pathOf(vm, 'disk-')
    lose(path)
    const wayOut = `vm.edit({ deleteDisks: ["${disk!.id}"] })`
    await expectRefusal(vm, () => vm.start(), path, wayOut)
    await expectRefusal(vm, () => vm.clone({ name: 'copy' }), path, wayOut)
    await expectRefusal(vm, () => vm.createSnapshot({ name: 'first' }), path, wayOut)
    if (scheme === 'qmp') await expectRefusal(vm, () => vm.clone({ name: 'copy', linked: true }), path, wayOut)
    await vm.edit({ description: 'it has lost a disk' }).unwrap()
    await vm.edit({ deleteDisks: [disk!.id] }).unwrap()
    await boot(vm)
    await vm.stop({ mode: 'kill' }).unwrap()
  })

  test('that has lost a disk can be deleted', async () => {
    await using server = await open()
    const vm = await createVm(server)
    rmSync(pathOf(vm, 'disk-'))
    await expectRefusal(vm, () => vm.start(), 'disk-', 'vm.delete()')
    await vm.delete().unwrap()
    expect(readdirSync(join(directory, 'vms'))).toEqual([])
  })

  test('that could not come up again is not shut down by a restart, nor suspended', async () => {
    await using server = await open()
    const vm = await createVm(server)
    const guest = await boot(vm)
    const path = pathOf(vm, 'disk-')
    rmSync(path)
    await expectRefusal(vm, () => vm.restart(), path, 'vm.')
    expect(await guest.count()).toBe(1)
    await expectRefusal(vm, () => vm.createSnapshot({ name: 'first' }), path, 'vm.')
    expect(await guest.count()).toBe(2)
    await expectRefusal(vm, () => vm.suspend(), path, 'vm.')
    expect(await guest.count()).toBe(3)
    await vm.stop({ mode: 'kill' }).unwrap()
  })

  test.each(Object.entries(losses))('whose saved memory is %s stays suspended, and can drop it', async (_, lose) => {
    await using server = await open()
    const vm = await createVm(server)
    await boot(vm)
    await vm.suspend().unwrap()
    const path = pathOf(vm, 'memory-')
    lose(path)
    await expectRefusal(vm, () => vm.resume(), path, "vm.stop({ mode: 'kill' })")
    await vm.stop({ mode: 'kill' }).unwrap()
    await boot(vm)
    await vm.stop({ mode: 'kill' }).unwrap()
  })

  test('that is suspended, and has lost a disk, keeps its memory until that is dropped', async () => {
    await using server = await open()
    const vm = await createVm(server)
    await boot(vm)
    await vm.suspend().unwrap()
    const path = pathOf(vm, 'disk-')
    rmSync(path)
    await expectRefusal(vm, () => vm.resume(), path, "vm.stop({ mode: 'kill' }) and then")
    await vm.stop({ mode: 'kill' }).unwrap()
    await vm.edit({ deleteDisks: vm.config.disks.map(({ id }) => id) }).unwrap()
    await boot(vm)
    await vm.stop({ mode: 'kill' }).unwrap()
  })

  test('runs on if the memory of a snapshot is lost, and the snapshot can be deleted', async () => {
    await using server = await open()
    const vm = await createVm(server)
    const guest = await boot(vm)
    await guest.writeDisk(0x41)
    const snapshot = await vm.createSnapshot({ name: 'first' }).unwrap()
    const path = pathOf(vm, 'memory-')
    rmSync(path)
    await expectRefusal(vm, () => vm.switchToSnapshot(snapshot.id), path, 'vm.deleteSnapshot()')
    expect(await guest.readDisk()).toBe(0x41)
    await vm.deleteSnapshot(snapshot.id).unwrap()
    expect(await guest.readDisk()).toBe(0x41)
    await vm.stop({ mode: 'kill' }).unwrap()
  })

  test('whose snapshot has lost a disk does not go back to it, and can delete it', async () => {
    await using server = await open()
    const vm = await createVm(server)
    const snapshot = await vm.createSnapshot({ name: 'first' }).unwrap()
    for (const file of filesOf(vm)) rmSync(join(folderOf(vm), file))
    await expectRefusal(vm, () => vm.switchToSnapshot(snapshot.id), 'disk-', 'vm.deleteSnapshot()')
    await vm.deleteSnapshot(snapshot.id).unwrap()
    expect(await vm.getSnapshotTree().unwrap()).toEqual([])
  })
})

describe('a VM in a directory of the embedded host', () => {
  const losses: Record<string, (disk: string) => string> = {
    'the map of a disk is missing': (disk) => {
      rmSync(`${disk}.map`)
      return `${disk}.map`
    },
    'the map of a disk is empty': (disk) => {
      truncateSync(`${disk}.map`, 0)
      return `${disk}.map`
    },
    'a disk and its map are missing': (disk) => {
      rmSync(disk)
      rmSync(`${disk}.map`)
      return disk
    },
    'a disk is cut short': (disk) => {
      truncateSync(disk, 2 ** 19)
      return disk
    },
  }

  test.each(Object.entries(losses))('does not start as if nothing was written if %s', async (_, lose) => {
    await using server = await connect(`embedded://${directory}`).unwrap()
    const vm = await createVm(server)
    const guest = await boot(vm)
    await guest.writeDisk(0x41)
    await vm.stop({ mode: 'kill' }).unwrap()
    const path = lose(pathOf(vm, 'disk-'))
    for (const job of [() => vm.start(), () => vm.clone({ name: 'copy' })]) {
      await expectRefusal(vm, job, path, 'vm.edit({ deleteDisks:')
    }
  })

  test('a disk that was added and never used has a file, in clones and snapshots, too', async () => {
    await using server = await connect(`embedded://${directory}`).unwrap()
    const vm = await createVm(server)
    await vm.edit({ disks: [...vm.config.disks, { sizeMiB: 1 }] }).unwrap()
    const snapshot = await vm.createSnapshot({ name: 'first' }).unwrap()
    const clone = await vm.clone({ name: 'copy' }).unwrap()
    await vm.switchToSnapshot(snapshot.id).unwrap()
    for (const each of [vm, clone]) {
      await boot(each)
      await each.stop({ mode: 'kill' }).unwrap()
    }
  })
})

describe('a VM of QEMU', () => {
  beforeEach((context) => {
    skipWithout(context, missingQemu)
  })

  test('that runs can be cloned with a disk whose file is lost: QEMU has it open', async () => {
    await using server = await connect(`qmp://${directory}`).unwrap()
    const vm = await createVm(server)
    const guest = await boot(vm)
    await guest.writeDisk(0x41)
    const path = pathOf(vm, 'disk-')
    rmSync(path)
    await expectRefusal(vm, () => vm.restart(), path, 'vm.clone() while the VM runs')
    const clone = await vm.clone({ name: 'copy' }).unwrap()
    await vm.stop({ mode: 'kill' }).unwrap()
    expect(await (await boot(clone)).readDisk()).toBe(0x41)
    await clone.stop({ mode: 'kill' }).unwrap()
  })

  test('whose way back to a snapshot was broken off, and that has lost a disk since, can be deleted', async () => {
    await using server = await connect(`qmp://${directory}`).unwrap()
    const vm = await createVm(server)
    const { id } = await vm.createSnapshot({ name: 'first' }).unwrap()
    const path = join(folderOf(vm), 'vm.json')
    const definition = JSON.parse(readFileSync(path, 'utf8')) as object
    writeFileSync(path, JSON.stringify({ ...definition, switchingTo: id }))
    const disk = pathOf(vm, 'disk-')
    rmSync(disk)
    const error = await failureOf(vm.start(), 'PROTOCOL_ERROR')
    expect(error.message).toContain(disk)
    await vm.delete().unwrap()
    expect(readdirSync(join(directory, 'vms'))).toEqual([])
  })

  test('that has lost a disk does not grow it', async () => {
    await using server = await connect(`qmp://${directory}`).unwrap()
    const vm = await createVm(server)
    const path = pathOf(vm, 'disk-')
    rmSync(path)
    const [disk] = vm.config.disks
    await expectRefusal(vm, () => vm.edit({ disks: [{ ...disk, sizeMiB: 2 }] }), path, 'vm.edit({ deleteDisks:')
  })

  test('that has lost a base is left as it is, and its clones are whole', async () => {
    await using server = await connect(`qmp://${directory}`).unwrap()
    const vm = await createVm(server)
    const clone = await vm.clone({ name: 'copy', linked: true }).unwrap()
    const path = pathOf(vm, 'base-')
    rmSync(path)
    for (const job of [() => vm.start(), () => vm.clone({ name: 'other' })]) {
      await expectRefusal(vm, job, path, 'vm.edit({ deleteDisks:')
    }
    await boot(clone)
    await clone.stop({ mode: 'kill' }).unwrap()
  })
})
