import { MessageChannel } from 'node:worker_threads'
import { decode } from 'fast-png'
import { describe, expect, test } from 'vitest'
import { fromFailure, toFailure } from '../../../src/drivers/embedded/machine/failure.js'
import { serveMachine } from '../../../src/drivers/embedded/machine/machine-server.js'
import { MachineThread } from '../../../src/drivers/embedded/machine/machine-thread.js'
import type { MachineMessage, MachineSpec, RequestMessage } from '../../../src/drivers/embedded/machine/protocol.js'
import { screenshotPng } from '../../../src/drivers/embedded/machine/screenshot-png.js'
import { emulatorCode } from '../../../src/drivers/embedded/machine/emulator-code.js'
import { MachineLog, readyLine } from '../../support/embedded-machine.js'

const spec: MachineSpec = { memoryMiB: 16, boot: { kind: 'guest' } }
const withDisk: MachineSpec = { ...spec, disks: [{ sizeBytes: 1 << 20, overlay: { kind: 'memory' } }] }

const boot = async (machineSpec: MachineSpec = spec) => {
  const log = new MachineLog()
  const thread = await MachineThread.spawn(machineSpec, log.events)
  await thread.start()
  if (machineSpec.initialState === undefined) await log.untilOutput(readyLine)
  return { thread, log }
}

describe('in a thread', () => {
  test('all requests to a machine', async () => {
    const { thread, log } = await boot(withDisk)
    await thread.sendSerial(Buffer.from('write 99\rslow\r'))
    await log.untilOutput('slow\r\n')
    await thread.sendScancodes([0x1e, 0x9e])
    await log.untilOutput('key 1E\r\n')
    const frame = await thread.screenshot()
    const png = decode(screenshotPng(frame))
    expect([png.width, png.height, [...png.data.slice(0, 4)]]).toEqual([160, 100, [255, 255, 255, 255]])
    await thread.pause()
    expect(await thread.statistics()).toMatchObject({ diskWriteBytes: 512 })
    await thread.pressPowerButton()
    expect(await thread.withdrawPowerButton()).toBe(true)
    const initialState = await thread.saveState()
    const content = await thread.exportDisk(0)
    await thread.resume()
    await thread.reset()
    await log.untilOutput(readyLine, readyLine.length)
    expect(log.reports).toEqual(['reset'])
    await thread.terminate()

    const again = await boot({
      ...spec,
      disks: [{ sizeBytes: 1 << 20, overlay: { kind: 'memory', content } }],
      initialState,
    })
    await again.thread.sendSerial(Buffer.from('read\rcount\r'))
    await again.log.untilOutput('disk 99\r\n')
    await again.log.untilOutput('lines 4\r\n')
    await again.thread.terminate()
  })

  test('a guest that powers off leaves its disk', async () => {
    const { thread, log } = await boot(withDisk)
    await thread.sendSerial(Buffer.from('write 12\roff\r'))
    await log.untilReport('power off: acpi')
    expect((await thread.exportDisk(0)).byteLength).toBeGreaterThan(4096)
    await expect(thread.pause()).rejects.toMatchObject({ name: 'MachineStoppedError' })
    await thread.terminate()
    expect(log.reports).toHaveLength(1)
  })

  test('a crash rejects open requests, and leaves the disk', async () => {
    const { thread, log } = await boot(withDisk)
    await thread.sendSerial(Buffer.from('fault\r'))
    await log.untilReport('crash: The virtual machine crashed: ')
    await expect(thread.pause()).rejects.toMatchObject({ name: 'MachineCrashedError' })
    expect(await thread.exportDisk(0)).toBeInstanceOf(Uint8Array)
    await thread.terminate()
    expect(log.reports).toHaveLength(1)
  })

  test('a machine that cannot be made leaves no thread', async () => {
    const { events } = new MachineLog()
    const kernel = Buffer.from('hello')
    await expect(MachineThread.spawn({ ...spec, boot: { kind: 'linux', kernel } }, events)).rejects.toMatchObject({
      name: 'BootImageError',
      file: 'kernel',
    })
    const lost = { ...spec, cdrom: { path: '/nowhere' } }
    await expect(MachineThread.spawn(lost, events)).rejects.toMatchObject({ name: 'DiskError', path: '/nowhere' })
  })

  test('terminating rejects open requests, and can be repeated', async () => {
    const { thread, log } = await boot()
    await thread.pause()
    const sent = thread.sendSerial(Buffer.from('never read'))
    const outcome = expect(sent).rejects.toMatchObject({ name: 'MachineTerminatedError' })
    await Promise.all([thread.terminate(), thread.terminate()])
    await outcome
    await thread.exited
    await thread.terminate()
    await expect(thread.resume()).rejects.toMatchObject({ name: 'MachineTerminatedError' })
    expect(log.reports).toEqual([])
  })
})

/** The thread's side, in this thread. */
const serve = async (machineSpec: MachineSpec, { fails = false } = {}) => {
  const { port1, port2 } = new MessageChannel()
  const messages: MachineMessage[] = []
  let wake = () => {}
  port1.on('message', (message: MachineMessage) => {
    messages.push(message)
    wake()
  })
  const until = async (type: MachineMessage['type'], count = 1) => {
    const found = () => messages.filter((message) => message.type === type)
    while (found().length < count) await new Promise<void>((resolve) => (wake = resolve))
    return found()[count - 1]
  }
  serveMachine(port2, { code: await emulatorCode() })
  let id = 0
  const ask = (method: RequestMessage['method'], ...args: unknown[]) =>
    port1.postMessage({ type: 'request', id: ++id, method, args })
  await until('ready')
  ask('load', machineSpec)
  await until(fails ? 'failure' : 'value')
  return { messages, until, ask, close: () => port1.close() }
}

describe('in the thread itself', () => {
  test('answers and reports', async () => {
    const server = await serve(withDisk)
    server.ask('start')
    await server.until('output')
    server.ask('exportDisk', 0)
    server.ask('exportDisk', 1)
    server.ask('screenshot')
    server.ask('sendScancodes', [0x1e])
    server.ask('sendSerial', Buffer.from('reboot\r'))
    expect(await server.until('failure')).toMatchObject({ id: 4, failure: { message: 'The machine has no disk 1' } })
    await server.until('reset')
    server.ask('sendSerial', Buffer.from('off\r'))
    expect(await server.until('powerOff')).toEqual({ type: 'powerOff', reason: 'acpi' })
    server.close()
  })

  test('reports a crash', async () => {
    const server = await serve(spec)
    server.ask('start')
    await server.until('output')
    server.ask('sendSerial', Buffer.from('fault\r'))
    expect(await server.until('crash')).toMatchObject({ failure: { kind: 'other' } })
    server.close()
  })

  test('reports a machine that could not be loaded', async () => {
    const server = await serve({ ...spec, cdrom: { path: '/nowhere' } }, { fails: true })
    expect(await server.until('failure')).toMatchObject({ failure: { kind: 'disk', path: '/nowhere' } })
    server.close()
  })
})

test.each<Parameters<typeof fromFailure>[0]>([
  { kind: 'bootImage', file: 'initrd', reason: 'is bad' },
  { kind: 'disk', path: '/x', reason: 'is bad', code: undefined },
  { kind: 'disk', path: '/x', reason: 'is full', code: 'ENOSPC' },
  { kind: 'savedState', reason: 'is bad' },
  { kind: 'inputFull', limit: 5 },
  { kind: 'stopped' },
  { kind: 'other', name: 'RangeError', message: 'm', code: undefined, stack: 's' },
  { kind: 'other', name: 'Error', message: 'm', code: 'EMFILE', stack: 's' },
])('the failure $kind survives the way between threads', (failure) => {
  expect(toFailure(fromFailure(failure))).toEqual(failure)
})

test('any thrown value becomes a failure', () => {
  expect(toFailure('text')).toMatchObject({ kind: 'other', name: 'Error', message: 'text', code: undefined })
})
