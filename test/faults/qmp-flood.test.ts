import { readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { connect, type Vm } from 'awaitvm'
import { beforeEach, expect, test, vi } from 'vitest'
import { keptBytes } from '../../src/drivers/qmp/logs/cut-log.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { QmpHost } from '../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

/** A boot sector that prints "00000001\n", "00000002\n" and so on to the serial port, for ever. */
const printer = Buffer.alloc(512)
printer.set([
  ...[0xfa, 0xfc, 0x31, 0xc0, 0x8e, 0xd8, 0xba, 0xf8, 0x03], // cli; cld; ds = 0; dx = 0x3f8
  ...[0xbe, 0x2c, 0x7c], // next: si = the last digit
  ...[0xfe, 0x04, 0x80, 0x3c, 0x3a, 0x75, 0x06], // carry: add one; if it is no digit any more:
  ...[0xc6, 0x04, 0x30, 0x4e, 0xeb, 0xf3], // '0', and the digit before it
  ...[0xbe, 0x25, 0x7c, 0xb9, 0x09, 0x00], // print nine bytes
  ...[0xac, 0xee, 0xe2, 0xfc, 0xeb, 0xe1], // lodsb; out dx, al; loop; next
  ...Buffer.from('00000000\n'),
])
printer.set([0x55, 0xaa], 510)

async function printingVm(host: QmpHost): Promise<Vm> {
  const image = join(host.folder, 'printer')
  await writeFile(image, printer)
  return await host.createVm({ boot: {}, floppies: [{ image }] })
}

/** Reads lines until there are so many bytes, or the console fails. Their numbers must be consecutive. */
async function readNumbers(console: Duplex, bytes: number): Promise<{ first: number; error: unknown }> {
  const numbers: number[] = []
  let [read, rest, isWhole] = [0, '', false]
  try {
    for await (const chunk of console) {
      const lines = (rest + (chunk as Buffer).toString('latin1')).split('\n')
      rest = lines.pop()!
      for (const line of lines) {
        // The kept part may begin in the middle of a line.
        if (isWhole || line.length === 8) numbers.push(Number(line))
        isWhole = true
      }
      read += (chunk as Buffer).byteLength
      if (read > bytes && numbers.length > 0) return { first: expectConsecutive(numbers), error: undefined }
    }
  } catch (error) {
    return { first: expectConsecutive(numbers), error }
  }
  throw new Error('the console has ended')
}

function expectConsecutive(numbers: readonly number[]): number {
  const at = numbers.findIndex((number, index) => index > 0 && number !== numbers[index - 1]! + 1)
  expect(at < 0 ? 'no gap' : `${numbers[at - 1]} ${numbers[at]}`).toBe('no gap')
  return numbers[0]!
}

const bytesOnDisk = async (folder: string): Promise<number> => {
  const logs = (await readdir(folder)).filter((name) => name.startsWith('console'))
  const sizes = await Promise.all(logs.map(async (name) => (await stat(join(folder, name))).blocks * 512))
  return sizes.reduce((sum, size) => sum + size, 0)
}

const untilPrinted = (host: QmpHost, vm: Vm, bytes: number): Promise<{ size: number }> =>
  vi.waitFor(
    async () => {
      const found = await stat(join(host.folderOf(vm), 'console.log'))
      if (found.size <= bytes) throw new Error(`it has printed ${found.size} bytes`)
      return found
    },
    { timeout: 50_000, interval: 50 },
  )

test('endless output of a guest takes limited space, and consoles begin with the part that is kept', async () => {
  await using host = await QmpHost.open()
  const vm = await printingVm(host)
  await vm.start().unwrap()
  await using other = await connect(host.uri).unwrap()
  const early = vm.console()
  const late = vm.console()
  expect((await readNumbers(early, 1)).first).toBe(1)
  const { size } = await untilPrinted(host, vm, 4 * keptBytes)
  expect(size).toBeGreaterThan(4 * keptBytes)
  // Output that was not read in time is lost, and the reader learns that.
  const { first, error } = await readNumbers(late, Infinity)
  expect(first).toBe(1)
  expect(error).toMatchObject({ code: 'HOST_ERROR', operation: 'vm.console' })
  expect(String(error)).toContain('were overwritten')
  const again = await readNumbers((await other.getVm(vm.id).unwrap()).console(), 1)
  expect(again.first).toBeGreaterThan(1)
  await vm.pause().unwrap()
  expect(await bytesOnDisk(host.folderOf(vm))).toBeLessThan(2.5 * keptBytes)
  await vm.stop({ mode: 'kill' }).unwrap()
  await vm.start().unwrap()
  expect(await readNumbers(vm.console(), 1)).toMatchObject({ first: 1 })
})
