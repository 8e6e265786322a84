import { readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type Vm } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
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

/**
 * Reads lines until there are so many bytes; the numbers may have a gap, and never go back. At a gap, the halves of two lines may
 * make a number of their own: one that another follows is real.
 */
async function expectNumbers(vm: Vm, bytes: number): Promise<{ first: number }> {
  const console = vm.console()
  let [first, last, before, read, rest] = [0, 0, 0, 0, '']
  for await (const chunk of console) {
    const lines = (rest + (chunk as Buffer).toString('latin1')).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (!/^\d{8}$/.test(line)) continue
      const number = Number(line)
      if (before > 0 && number === before + 1) {
        expect(number).toBeGreaterThan(last)
        if (first === 0) first = before
        last = number
      }
      before = number
    }
    read += (chunk as Buffer).byteLength
    if (read > bytes && first > 0) break
  }
  return { first }
}

const bytesOnDisk = async (folder: string): Promise<number> => {
  const logs = (await readdir(folder)).filter((name) => name.startsWith('console'))
  const sizes = await Promise.all(logs.map(async (name) => (await stat(join(folder, name))).blocks * 512))
  return sizes.reduce((sum, size) => sum + size, 0)
}

test('what a guest prints without end takes a bounded room, and consoles begin with what is kept of it', async () => {
  await using host = await QmpHost.open()
  const vm = await printingVm(host)
  await vm.start().unwrap()
  await using other = await connect(host.uri).unwrap()
  const { first } = await expectNumbers(vm, 1.3 * keptBytes)
  expect(first).toBe(1)
  const again = await expectNumbers(await other.getVm(vm.id).unwrap(), 1)
  expect(again.first).toBeGreaterThan(1)
  await vm.pause().unwrap()
  expect(await bytesOnDisk(host.folderOf(vm))).toBeLessThan(2.5 * keptBytes)
  await vm.stop({ mode: 'kill' }).unwrap()
  await vm.start().unwrap()
  expect(await expectNumbers(vm, 1)).toMatchObject({ first: 1 })
})
