import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { connect as connectTo, createServer, type AddressInfo, type Server } from 'node:net'
import { join } from 'node:path'
import type { PortForward, Vm } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { SerialGuest } from '../../src/testing/conformance/serial-guest.js'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { qemusIn } from '../support/qemu-processes.js'
import { QmpHost } from '../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

/** A port of 127.0.0.1 that another program has. */
class TakenPort implements AsyncDisposable {
  readonly #socket: Server | Socket
  readonly port: number

  private constructor(socket: Server | Socket) {
    this.#socket = socket
    this.port = (socket.address() as AddressInfo).port
  }

  /** Rejects if the port is taken already. */
  static async take(protocol: 'tcp' | 'udp' = 'tcp', port = 0): Promise<TakenPort> {
    const socket = protocol === 'tcp' ? createServer().listen(port, '127.0.0.1') : createSocket('udp4')
    if (!('listen' in socket)) socket.bind(port, '127.0.0.1')
    await once(socket, 'listening')
    return new TakenPort(socket)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#socket, 'close')
    this.#socket.close()
    await closed
  }
}

const vmWith = (host: QmpHost, ...portForwards: PortForward[]): Promise<Vm> =>
  host.createVm({ networkAdapters: [{ portForwards }] })

const portOf = async (vm: Vm): Promise<number> =>
  (await vm.refresh().unwrap()).networkAdapters?.[0]?.portForwards?.[0]?.hostPort ?? 0

for (const protocol of ['tcp', 'udp'] as const) {
  test(`a ${protocol} port that was requested and is taken is named, and the VM is as before`, async () => {
    await using host = await QmpHost.open()
    const taken = await TakenPort.take(protocol)
    const { port } = taken
    const vm = await vmWith(host, { guestPort: 22, protocol }, { guestPort: 53, hostPort: port, protocol })
    const error = await failureOf(vm.start(), 'RESOURCE_BUSY')
    expect(error.message).toContain(`the ${protocol} port ${port} of 127.0.0.1 is taken`)
    expect(error.hint).toContain('hostPort')
    expect(error.native?.code).toBe('EADDRINUSE')
    expect(await vm.getState().unwrap()).toBe('stopped')
    expect(await qemusIn(host.directory)).toEqual([])
    await taken[Symbol.asyncDispose]()
    await host.boot(vm)
    // While QEMU has the port, it is taken.
    await expect(TakenPort.take(protocol, port)).rejects.toThrow('EADDRINUSE')
    const other = await vm.clone({ name: 'other' }).unwrap()
    await failureOf(other.start(), 'RESOURCE_BUSY')
    await vm.stop({ mode: 'kill' }).unwrap()
    await host.boot(other)
  })

  test(`a ${protocol} port that was found is replaced by another if it is taken`, async () => {
    await using host = await QmpHost.open()
    const vm = await vmWith(host, { guestPort: 22, protocol })
    await host.boot(vm)
    const first = await portOf(vm)
    await vm.stop({ mode: 'kill' }).unwrap()
    await using _taken = await TakenPort.take(protocol, first)
    const guest = await host.boot(vm)
    const second = await portOf(vm)
    expect(second).not.toBe(first)
    const counted = await guest.count()
    await vm.suspend().unwrap()
    await using _takenToo = await TakenPort.take(protocol, second)
    await vm.resume().unwrap()
    const third = await portOf(vm)
    expect([first, second]).not.toContain(third)
    expect(await new SerialGuest(vm).count()).toBe(counted + 1)
    await vm.stop({ mode: 'kill' }).unwrap()
    await vm.start().unwrap()
    expect(await portOf(vm)).toBe(third)
  })
}

test('a suspended VM whose port is taken stays suspended, with its memory', async () => {
  await using host = await QmpHost.open()
  const free = await TakenPort.take()
  const { port } = free
  await free[Symbol.asyncDispose]()
  const vm = await vmWith(host, { guestPort: 22, hostPort: port })
  const guest = await host.boot(vm)
  const counted = await guest.count()
  await vm.suspend().unwrap()
  const taken = await TakenPort.take('tcp', port)
  await failureOf(vm.resume(), 'RESOURCE_BUSY')
  expect(await vm.getState().unwrap()).toBe('suspended')
  await taken[Symbol.asyncDispose]()
  await vm.resume().unwrap()
  expect(await new SerialGuest(vm).count()).toBe(counted + 1)
})

test('an address that this computer does not have is refused', async () => {
  await using host = await QmpHost.open()
  for (const forward of [{ hostPort: 40_022 }, {}]) {
    const vm = await host.createVm({
      name: JSON.stringify(forward),
      networkAdapters: [{ portForwards: [{ guestPort: 22, hostAddress: '203.0.113.1', ...forward }] }],
    })
    const error = await failureOf(vm.start(), 'HOST_ERROR')
    expect(error.native.code).toBe('EADDRNOTAVAIL')
    expect(error.message).toContain("of 203.0.113.1 can't be listened on")
    expect(await vm.getState().unwrap()).toBe('stopped')
  }
})

test('a port is open as long as the VM runs, whether it is paused or reset', async () => {
  await using host = await QmpHost.open()
  const vm = await vmWith(host, { guestPort: 22 })
  await host.boot(vm)
  const port = await portOf(vm)
  await vm.pause().unwrap()
  expect(await portOf(vm)).toBe(port)
  await vm.reset().unwrap()
  expect(await portOf(vm)).toBe(port)
  const socket = connectTo(port, '127.0.0.1')
  await once(socket, 'connect')
  const closed = once(socket, 'close')
  await vm.stop({ mode: 'kill' }).unwrap()
  socket.resume()
  await closed
  await using _free = await TakenPort.take('tcp', port)
})

test('network adapters of a running VM are not edited, and its other hardware is', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ networkAdapters: [{ outbound: true, portForwards: [{ guestPort: 22 }] }] })
  await host.boot(vm)
  const before = await vm.refresh().unwrap()
  for (const networkAdapters of [[], [{ portForwards: [{ guestPort: 22 }] }], [...before.networkAdapters!, {}]]) {
    const error = await failureOf(vm.edit({ description: 'half of it', networkAdapters }), 'INVALID_STATE')
    expect(error.message).toContain('its network adapters only change while it is stopped. Stop it first')
    expect(await vm.refresh().unwrap()).toEqual(before)
  }
  const edited = await vm.edit({ disks: [...before.disks, { sizeMiB: 1 }] })
  expect(edited._unsafeUnwrap().networkAdapters).toEqual(before.networkAdapters)
})

test('adapters of a definition that are not valid get into no command', async () => {
  await using host = await QmpHost.open()
  const vm = await vmWith(host, { guestPort: 22 })
  const file = join(host.folderOf(vm), 'vm.json')
  const text = await readFile(file, 'utf8')
  await writeFile(file, text.replace('"127.0.0.1"', '"127.0.0.1:0-:1\\nquit"'))
  await failureOf(vm.start(), 'PROTOCOL_ERROR')
  await writeFile(file, text)
  await host.boot(vm)
})
