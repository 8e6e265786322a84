import { readdirSync, statSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type Server, type Vm } from 'awaitvm'
import { expect, test, type TestContext } from 'vitest'
import { builtInGuest } from '../../src/drivers/embedded/machine/guest.js'
import { MachineStoppedError } from '../../src/drivers/embedded/machine/machine-stopped-error.js'
import { SerialGuest } from '../../src/testing/conformance/serial-guest.js'
import { TestMachine } from '../support/embedded-machine.js'
import { EventLog } from '../../src/testing/conformance/event-log.js'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'
import { expectPauseForRoom } from '../support/full-disk.js'
import { SmallFileSystem } from '../support/small-file-system.js'

test('a start that has no room leaves no half of a disk, and the VM can be cloned and started', async (context) => {
  await using room = await SmallFileSystem.mount(context)
  await using server = await connect(`embedded://${join(room.folder, 'vms')}`).unwrap()
  const kernel = join(room.folder, 'guest.bin')
  await writeFile(kernel, builtInGuest())
  const vm = await server
    .createVm({ name: 'web-1', memoryMiB: 16, disks: [{ sizeMiB: 1 }, { sizeMiB: 64 }], boot: { kernel } })
    .unwrap()
  const folder = join(room.folder, 'vms', 'vms', vm.id)
  const written = (): string[] =>
    readdirSync(folder).filter((name) => name.startsWith('disk-') && statSync(join(folder, name)).blocks > 0)

  const filler = await room.fill(0)
  const error = await failureOf(vm.start(), 'INSUFFICIENT_RESOURCES')
  expect(error.hint).toContain('room')
  expect(await vm.getState().unwrap()).toBe('stopped')
  expect(written()).toEqual([])
  expect(readdirSync(folder).filter((name) => name.endsWith('.map'))).toEqual([])

  await rm(filler)
  const clone = await vm.clone({ name: 'copy' }).unwrap()
  for (const each of [vm, clone]) {
    await each.start().unwrap()
    const guest = new SerialGuest(each)
    await guest.untilReady()
    await guest.writeDisk(0x4e)
    expect(await guest.readDisk()).toBe(0x4e)
    await each.stop().unwrap()
  }
})

test('a guest that has no room to write is paused, with the reason, and loses nothing once there is room', async (context) => {
  await using full = await FullHost.open(context)
  const { server, vm, guest } = full
  let writing: Promise<void> | undefined
  await expectPauseForRoom({
    server,
    vm,
    fill: async () => {
      await full.fill()
      writing = guest.writeDisk(0x4e)
    },
    makeRoom: async () => {
      for (const attempt of [
        () => vm.resume(),
        () => vm.createSnapshot({ name: 's' }),
        () => vm.clone({ name: 'c' }),
      ]) {
        await failureOf(attempt(), 'INSUFFICIENT_RESOURCES')
        await vm.refresh().unwrap()
        expect(vm.problem).toBeDefined()
      }
      await full.makeRoom()
    },
  })
  await writing
  expect(await guest.readDisk()).toBe(0x4e)
  await vm.stop().unwrap()
  await vm.start().unwrap()
  const again = new SerialGuest(vm)
  await again.untilReady()
  expect(await again.readDisk()).toBe(0x4e)
})

test('a VM that is paused for a full disk is reset once there is room, and keeps what its guest had written', async (context) => {
  await using full = await FullHost.open(context)
  const { vm, guest } = full
  await full.pauseForRoom()
  await failureOf(vm.reset(), 'INSUFFICIENT_RESOURCES')
  expect(await vm.getState().unwrap()).toBe('paused')
  await full.makeRoom()
  await vm.reset().unwrap()
  expect(await guest.readDisk()).toBe(0x4e)
})

test('a VM that is paused for a full disk can be killed, and starts again once there is room', async (context) => {
  await using full = await FullHost.open(context)
  const { vm } = full
  await full.pauseForRoom()
  await vm.stop({ mode: 'kill' }).unwrap()
  await vm.refresh().unwrap()
  expect(vm.state).toBe('stopped')
  expect(vm.problem).toBeUndefined()
  await full.makeRoom()
  await vm.start().unwrap()
  const again = new SerialGuest(vm)
  await again.untilReady()
  await again.writeDisk(0x4f)
  expect(await again.readDisk()).toBe(0x4f)
})

test('a guest that writes without room, and powers off at once, is off once there is room, with its disk whole', async (context) => {
  await using room = await SmallFileSystem.mount(context)
  const path = join(room.folder, 'disk')
  const disks = [{ sizeBytes: 1 << 20, overlay: { kind: 'file', path } }] as const
  await using test = await TestMachine.boot({ disks })
  const filler = await room.fill(0)
  const sending = test.machine.sendSerial(Buffer.from('write 4e\roff\r'))
  await test.log.untilReport('disk full')
  await expect(test.machine.pause()).rejects.toThrow('no space left')
  expect(test.log.reports).toHaveLength(1)
  await rm(filler)
  // Where the guest had powered off before it was paused, it does so now, and there is nothing to resume.
  await test.machine.resume().catch((error: unknown) => {
    expect(error).toBeInstanceOf(MachineStoppedError)
  })
  await test.log.untilReport('power off')
  await sending
  expect((await readFile(path))[512]).toBe(0x4e)
})

/** A VM that runs on a file system of a few MiB. */
class FullHost implements AsyncDisposable {
  readonly server: Server
  readonly vm: Vm
  readonly guest: SerialGuest
  readonly #room: SmallFileSystem
  #filler: string | undefined

  private constructor(room: SmallFileSystem, server: Server, vm: Vm) {
    this.#room = room
    this.server = server
    this.vm = vm
    this.guest = new SerialGuest(vm)
  }

  static async open(context: TestContext): Promise<FullHost> {
    const room = await SmallFileSystem.mount(context)
    const server = await connect(`embedded://${join(room.folder, 'vms')}`).unwrap()
    const vm = await server.createVm({ name: 'web-1', memoryMiB: 16, disks: [{ sizeMiB: 1 }] }).unwrap()
    await vm.start().unwrap()
    const host = new FullHost(room, server, vm)
    await host.guest.untilReady()
    return host
  }

  async fill(): Promise<void> {
    this.#filler = await this.#room.fill(0)
  }

  /** Has the guest write 4E, and waits until that has paused it. */
  async pauseForRoom(): Promise<void> {
    const log = new EventLog(this.server.events({ types: ['state'] }))
    await this.fill()
    this.guest.console.send('write 4e')
    await log.until((event) => event.type === 'state' && event.reason === 'disk-full')
    await log.close()
  }

  async makeRoom(): Promise<void> {
    if (this.#filler !== undefined) await rm(this.#filler)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]()
    await this.#room[Symbol.asyncDispose]()
  }
}
