import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { chordScancodes } from '../../../src/keyboard/scancodes.js'
import { MachineLog, readyLine, TestMachine } from '../../support/embedded-machine.js'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'awaitvm-machine-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

describe('console', () => {
  test('the guest prints its ready line, echoes and answers', async () => {
    await using vm = await TestMachine.boot()
    expect(vm.log.output).toBe(readyLine)
    await vm.command('help', 'help count off reboot halt fault deaf slow write XX read\r\n')
    await vm.command('count', 'count\r\nlines 2\r\n')
    await vm.command('nonsense', 'nonsense\r\n?\r\n')
  })

  test('input longer than the UART holds arrives whole', async () => {
    await using vm = await TestMachine.boot()
    const text = 'x'.repeat(5000)
    await vm.command(text, `${text}\r\n?\r\n`)
    await vm.command('count', 'lines 2\r\n')
  })

  test('output comes in slices, not in bytes', async () => {
    let calls = 0
    const log = new MachineLog()
    await using vm = await TestMachine.boot()
    const offset = vm.log.output.length
    const output = vm.log.events.output
    vm.log.events.output = (bytes) => {
      calls++
      output(bytes)
    }
    await vm.machine.sendSerial(Buffer.from('help\r'))
    await vm.log.untilOutput('read\r\n', offset)
    expect(calls).toBeLessThan(10)
    expect(log.output).toBe('')
  })

  test('input to a machine that never reads is bounded', async () => {
    await using vm = await TestMachine.load()
    const first = vm.machine.sendSerial(new Uint8Array(0x10_0000))
    const second = vm.machine.sendSerial(new Uint8Array(1))
    await expect(second).rejects.toMatchObject({ name: 'InputFullError' })
    await vm.machine.reset()
    await first
  })
})

describe('pause and resume', () => {
  test('a paused guest does not answer until it is resumed', async () => {
    await using vm = await TestMachine.boot()
    await vm.machine.pause()
    await vm.machine.pause()
    const { instructions } = await vm.machine.statistics()
    const sent = vm.machine.sendSerial(Buffer.from('count\r'))
    expect((await vm.machine.statistics()).instructions).toBe(instructions)
    expect(vm.log.output).toBe(readyLine)
    await vm.machine.resume()
    await vm.machine.resume()
    await sent
    await vm.log.untilOutput('lines 1\r\n')
  })

  test('uptime does not count pauses', async () => {
    await using vm = await TestMachine.boot()
    await vm.machine.pause()
    const { uptimeMs } = await vm.machine.statistics()
    expect(uptimeMs).toBeGreaterThan(0)
    expect((await vm.machine.statistics()).uptimeMs).toBe(uptimeMs)
  })
})

describe('saved state', () => {
  test('a restored machine has its memory, and runs only when it is started', async () => {
    await using vm = await TestMachine.boot()
    await vm.command('count', 'lines 1\r\n')
    const initialState = await vm.machine.saveState()
    await vm.command('count', 'lines 2\r\n')

    await using restored = await TestMachine.load({ initialState })
    expect(restored.log.output).toBe('')
    await restored.machine.start()
    await restored.command('count', 'lines 2\r\n')
    expect(restored.log.output).not.toContain(readyLine)
    await restored.machine.reset()
    await restored.log.untilOutput(readyLine)
    await restored.command('count', 'lines 1\r\n')
  })

  test('a paused machine can be saved, power button registers included', async () => {
    await using vm = await TestMachine.boot()
    await vm.command('slow', 'slow\r\n')
    await vm.machine.pause()
    await vm.machine.pressPowerButton()
    const initialState = await vm.machine.saveState()
    await using restored = await TestMachine.load({ initialState })
    await restored.machine.start()
    await restored.log.untilOutput('not now\r\n')
  })

  test('bytes that are no saved state, or the state of another machine, are refused', async () => {
    await expect(TestMachine.load({ initialState: new Uint8Array(100) })).rejects.toMatchObject({
      name: 'SavedStateError',
      reason: 'is not one that was saved here',
    })
    await using vm = await TestMachine.load()
    const initialState = await vm.machine.saveState()
    await expect(TestMachine.load({ initialState, memoryMiB: 32 })).rejects.toMatchObject({
      reason: 'is of a machine with 16 MiB of memory, not 32',
    })
    await expect(TestMachine.load({ initialState: initialState.slice(0, -1000) })).rejects.toMatchObject({
      reason: 'is not one that was saved here',
    })
    const damaged = [initialState.subarray(0, 1000), initialState.subarray(2000)]
    await expect(TestMachine.load({ initialState: Buffer.concat(damaged) })).rejects.toMatchObject({
      reason: 'is damaged, or of another version of the emulator',
    })
  })
})

describe('the end of a guest', () => {
  test.each([
    ['off', 'powering off\r\n', 'power off: acpi'],
    ['halt', 'halt\r\n', 'power off: halted'],
    ['fault', 'fault\r\n', "crash: The guest's CPU shut down"],
  ])('%s', async (command, answer, report) => {
    await using vm = await TestMachine.boot()
    await vm.command(command, answer)
    await vm.log.untilReport(report)
    expect(vm.log.reports).toHaveLength(1)
    await expect(vm.machine.pause()).rejects.toMatchObject({ name: 'MachineStoppedError' })
    await expect(vm.machine.sendSerial(Buffer.from('x'))).rejects.toMatchObject({ name: 'MachineStoppedError' })
  })

  test('a reboot comes up again by itself, with its disk', async () => {
    await using vm = await TestMachine.boot({ disks: [{ sizeBytes: 1 << 20, overlay: { kind: 'memory' } }] })
    await vm.command('write 7e', 'disk 7E\r\n')
    const offset = vm.log.output.length
    await vm.command('reboot', readyLine)
    expect(vm.log.reports).toEqual(['reset'])
    expect(vm.log.output.slice(offset)).toBe(`reboot\r\n${readyLine}`)
    await vm.command('read', 'disk 7E\r\n')
    await vm.command('count', 'lines 2\r\n')
  })

  test('a paused machine stays paused after a reset', async () => {
    await using vm = await TestMachine.boot()
    await vm.machine.pause()
    await vm.machine.reset()
    expect(vm.log.reports).toEqual(['reset'])
    expect(vm.log.output).toBe(readyLine)
    await vm.machine.resume()
    await vm.log.untilOutput(readyLine, readyLine.length)
  })

  test('disposing of it twice, and of one that has powered off, is harmless', async () => {
    const vm = await TestMachine.boot()
    await vm.command('off', 'powering off')
    await vm.log.untilReport('power off')
    await vm.machine.dispose()
    await vm.machine.dispose()
    await expect(vm.machine.reset()).rejects.toMatchObject({ name: 'MachineStoppedError' })
  })

  test('a machine disposed of while it is being reset leaves nothing behind', async () => {
    const vm = await TestMachine.boot()
    const reset = vm.machine.reset()
    await Promise.resolve()
    await vm.machine.dispose()
    await reset.catch(() => undefined)
    expect(vm.log.reports).toEqual([])
  })
})

describe('power button', () => {
  test('the guest powers off', async () => {
    await using vm = await TestMachine.boot()
    await vm.machine.pressPowerButton()
    await vm.log.untilReport('power off: acpi')
    expect(vm.log.output).toBe(`${readyLine}powering off\r\n`)
  })

  test('a press that the guest ignores can be withdrawn, once', async () => {
    await using vm = await TestMachine.boot()
    await vm.command('deaf', 'deaf\r\n')
    await vm.machine.pressPowerButton()
    await vm.command('count', 'lines 2\r\n')
    expect(await vm.machine.withdrawPowerButton()).toBe(true)
    expect(await vm.machine.withdrawPowerButton()).toBe(false)
  })

  test('a press that the guest has acknowledged cannot', async () => {
    await using vm = await TestMachine.boot()
    await vm.command('slow', 'slow\r\n')
    await vm.machine.pressPowerButton()
    await vm.log.untilOutput('not now\r\n')
    expect(await vm.machine.withdrawPowerButton()).toBe(false)
  })
})

test('keys arrive as scancodes, more of them than the keyboard buffers', async () => {
  await using vm = await TestMachine.boot()
  await vm.machine.sendScancodes(Array.from({ length: 50 }, () => chordScancodes(['KeyA'])).flat())
  await vm.machine.sendScancodes(chordScancodes(['Enter']))
  await vm.log.untilOutput('key 1C\r\n')
  expect(vm.log.output.match(/key 1E\r\n/g)).toHaveLength(50)
})

describe('disks', () => {
  test('without a disk, or beyond one', async () => {
    await using vm = await TestMachine.boot()
    await vm.command('read', 'no disk\r\n')
    await expect(vm.machine.exportDisk(0)).rejects.toThrow('The machine has no disk 0')
  })

  test('a memory overlay survives in its export, the base image is untouched', async () => {
    const base = join(folder, 'base.img')
    writeFileSync(base, Buffer.alloc(1 << 20, 0x11))
    const disk = { base, sizeBytes: 1 << 20 }
    await using vm = await TestMachine.boot({ disks: [{ ...disk, overlay: { kind: 'memory' } }] })
    await vm.command('read', 'disk 11\r\n')
    await vm.command('write a5', 'disk A5\r\n')
    await vm.command('read', 'disk A5\r\n')
    expect(await vm.machine.statistics()).toMatchObject({ diskWriteBytes: 512 })
    await vm.command('off', 'powering off')
    await vm.log.untilReport('power off')
    const content = await vm.machine.exportDisk(0)

    await using again = await TestMachine.boot({ disks: [{ ...disk, overlay: { kind: 'memory', content } }] })
    await again.command('read', 'disk A5\r\n')
    await using fresh = await TestMachine.boot({ disks: [{ ...disk, overlay: { kind: 'memory' } }] })
    await fresh.command('read', 'disk 11\r\n')
  })

  test('a file overlay survives the machine', async () => {
    const disks = [{ sizeBytes: 1 << 20, overlay: { kind: 'file', path: join(folder, 'disk') } }] as const
    {
      await using vm = await TestMachine.boot({ disks })
      await vm.command('write 3c', 'disk 3C\r\n')
    }
    await using vm = await TestMachine.boot({ disks })
    await vm.command('read', 'disk 3C\r\n')
  })

  test('a disk is not part of the saved state', async () => {
    const disks = [{ sizeBytes: 1 << 20, overlay: { kind: 'file', path: join(folder, 'disk') } }] as const
    let initialState: Uint8Array
    {
      await using vm = await TestMachine.boot({ disks })
      initialState = await vm.machine.saveState()
      await vm.command('write 42', 'disk 42\r\n')
    }
    await using vm = await TestMachine.load({ disks, initialState })
    await vm.machine.start()
    await vm.command('read', 'disk 42\r\n')
  })

  test('a missing image, a missing medium and an oversized floppy are refused', async () => {
    const missing = join(folder, 'missing')
    const disk = { sizeBytes: 1 << 20, overlay: { kind: 'memory' } } as const
    await expect(TestMachine.load({ disks: [disk, { ...disk, base: missing }] })).rejects.toMatchObject({
      name: 'DiskError',
      path: missing,
    })
    await expect(TestMachine.load({ cdrom: { path: missing } })).rejects.toMatchObject({ name: 'DiskError' })
    await expect(TestMachine.load({ floppies: [{ path: missing }] })).rejects.toMatchObject({ path: missing })
    const huge = join(folder, 'huge')
    writeFileSync(huge, Buffer.alloc(4_000_000))
    await expect(TestMachine.load({ floppies: [{ path: huge }] })).rejects.toMatchObject({
      reason: "has 4000000 bytes, which is no floppy's size",
    })
  })

  test('an image that is cut off under a running machine is a crash, not a hang', async () => {
    const base = join(folder, 'base.img')
    writeFileSync(base, Buffer.alloc(1 << 20, 0x11))
    await using vm = await TestMachine.boot({ disks: [{ base, sizeBytes: 1 << 20, overlay: { kind: 'memory' } }] })
    writeFileSync(base, '')
    await vm.machine.sendSerial(Buffer.from('read\r'))
    await vm.log.untilReport('crash: The emulator failed: The disk file')
  })
})

test('the screen shows what the guest has drawn', async () => {
  await using vm = await TestMachine.boot()
  const { width, height, rgba } = await vm.machine.screenshot()
  expect({ width, height, bytes: rgba.byteLength }).toEqual({ width: 160, height: 100, bytes: 160 * 100 * 4 })
  const pixel = (x: number, y: number) =>
    Buffer.from(rgba.subarray(4 * (y * 160 + x), 4 * (y * 160 + x) + 4)).toString('hex')
  const bars = ['ffffff', 'ffff00', '00ffff', '00ff00', 'ff00ff', 'ff0000', '0000ff', '000000']
  for (const y of [0, 99])
    expect(bars.map((_, bar) => pixel(20 * bar + 10, y))).toEqual(bars.map((colour) => `${colour}ff`))
  await vm.command('count', 'lines 1\r\n')
})
