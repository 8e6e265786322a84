import { describe, expect, test } from 'vitest'
import type { BootImageError } from '../../../src/drivers/embedded/machine/boot-image-error.js'
import { builtInGuest } from '../../../src/drivers/embedded/machine/guest.js'
import { type LinuxBoot, linuxBootImage } from '../../../src/drivers/embedded/machine/linux.js'

const mebibyte = 0x10_0000

/** A file that looks like a bzImage of 2 setup sectors. */
const bzImage = (change: (view: DataView) => void = () => undefined, size = 8192): Uint8Array => {
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  view.setUint8(0x1f1, 2)
  view.setUint16(0x1fe, 0xaa55, true)
  view.setUint8(0x201, 0x6a)
  view.setUint32(0x202, 0x53726448, true)
  view.setUint16(0x206, 0x20f, true)
  view.setUint8(0x211, 1)
  view.setUint32(0x22c, 0x7fffffff, true)
  view.setUint32(0x238, 2047, true)
  view.setUint32(0x258, 0x100_0000, true)
  view.setUint32(0x260, 8 * mebibyte, true)
  bytes.fill(0xcc, 1536)
  change(view)
  return bytes
}

const refusal = (boot: Partial<LinuxBoot>): Pick<BootImageError, 'file' | 'reason'> => {
  try {
    linuxBootImage({ kernel: bzImage(), memoryMiB: 64, ...boot })
  } catch (error) {
    const { name, file, reason } = error as BootImageError
    expect(name).toBe('BootImageError')
    return { file, reason }
  }
  throw new Error('It was not refused')
}

interface LoadedSegment {
  readonly address: number
  readonly bytes: Uint8Array
}

const segmentsOf = (image: ArrayBuffer): LoadedSegment[] => {
  const view = new DataView(image)
  return Array.from({ length: view.getUint16(44, true) }, (_, index) => {
    const header = 52 + 32 * index
    const [offset, address, size] = [4, 12, 16].map((field) => view.getUint32(header + field, true))
    return { address: address!, bytes: new Uint8Array(image, offset, size) }
  })
}

test('the kernel, its initrd, command line, memory map and ACPI tables are in place', () => {
  const initrd = new Uint8Array(10_000).fill(7)
  const { image } = linuxBootImage({ kernel: bzImage(), initrd, commandLine: 'console=ttyS0', memoryMiB: 64 })
  const segments = new Map(segmentsOf(image).map(({ address, bytes }) => [address, bytes]))
  expect(segments.get(0x10_0000)).toEqual(new Uint8Array(8192 - 1536).fill(0xcc))
  expect(Buffer.from(segments.get(0xa000)!).toString()).toBe('console=ttyS0\0')
  const page = segments.get(0x9000)!
  const zeroPage = new DataView(page.buffer, page.byteOffset, page.byteLength)
  const ramdisk = zeroPage.getUint32(0x218, true)
  expect(ramdisk % 4096).toBe(0)
  expect(segments.get(ramdisk)).toEqual(initrd)
  expect(ramdisk + initrd.byteLength).toBeLessThan(64 * mebibyte)
  expect([zeroPage.getUint32(0x21c, true), zeroPage.getUint32(0x228, true)]).toEqual([10_000, 0xa000])
  expect([zeroPage.getUint8(0x210), zeroPage.getUint8(0x1e8)]).toEqual([0xff, 4])
  expect([0x30c, 0x314].map((field) => zeroPage.getUint32(field, true))).toEqual([0x10_0000, 63 * mebibyte])
  expect(zeroPage.getUint32(0x70, true)).toBe(0xe0000)
})

test('the ACPI tables are the ones that are pointed to, and their checksums are right', () => {
  const { image } = linuxBootImage({ kernel: bzImage(), memoryMiB: 64 })
  const bytes = segmentsOf(image).find(({ address }) => address === 0xe0000)!.bytes
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const isWhole = (start: number, size: number) =>
    bytes.subarray(start, start + size).reduce((sum, byte) => sum + byte, 0) % 256 === 0
  const table = (address: number) => {
    const start = address - 0xe0000
    const signature = Buffer.from(bytes.subarray(start, start + 4)).toString()
    expect(isWhole(start, view.getUint32(start + 4, true))).toBe(true)
    return { signature, start }
  }
  expect(Buffer.from(bytes.subarray(0, 8)).toString()).toBe('RSD PTR ')
  expect(isWhole(0, 20)).toBe(true)
  const rsdt = table(view.getUint32(16, true))
  const fadt = table(view.getUint32(rsdt.start + 36, true))
  const dsdt = table(view.getUint32(fadt.start + 40, true))
  expect([rsdt.signature, fadt.signature, dsdt.signature]).toEqual(['RSDT', 'FACP', 'DSDT'])
  expect([56, 64].map((field) => view.getUint32(fadt.start + field, true))).toEqual([0x600, 0x604])
  expect(view.getUint32(fadt.start + 36, true) % 64).toBe(0)
})

describe('kernels that cannot be booted', () => {
  const at = (offset: number, ...bytes: number[]) => {
    const kernel = new Uint8Array(4096)
    kernel.set(bytes, offset)
    return kernel
  }
  test.each<[string, Uint8Array, string]>([
    ['empty', new Uint8Array(0), 'is not a bzImage: it is empty'],
    ['short', Buffer.from('hello'), 'is not a bzImage: it has only 5 bytes'],
    ['text', Buffer.alloc(4096, 'hello'), 'is not a bzImage'],
    ['vmlinux', at(0, 0x7f, 0x45, 0x4c, 0x46), 'an ELF file, perhaps vmlinux'],
    ['gzip', at(0, 0x1f, 0x8b), 'gzip data'],
    ['arm64', at(0x38, 0x41, 0x52, 0x4d, 0x64), 'an arm64 Image'],
    ['boot sector', at(0x1fe, 0x55, 0xaa), 'a boot sector or disk image'],
    [
      'old',
      bzImage((view) => view.setUint16(0x206, 0x204, true)),
      'has boot protocol 2.4; 2.6 (Linux 2.6.22) or later is needed',
    ],
    ['zImage', bzImage((view) => view.setUint8(0x211, 0)), 'is a zImage'],
    ['x86-64', bzImage((view) => view.setUint16(0x236, 1, true)), 'is for x86-64, and this CPU is a 32-bit i686'],
    ['cut off', bzImage((view) => view.setUint8(0x1f1, 15)), 'is cut off: it has only 8192 bytes'],
    [
      'large',
      bzImage((view) => view.setUint32(0x260, 60 * mebibyte, true)),
      'needs 76 MiB of memory to unpack itself, the machine has 64',
    ],
    ['old and large', bzImage((view) => view.setUint16(0x206, 0x206, true), 20 * mebibyte), 'needs 81 MiB'],
  ])('%s', (_name, kernel, reason) => {
    const { file, reason: actual } = refusal({ kernel })
    expect(file).toBe('kernel')
    expect(actual).toContain(reason)
  })
})

test('an initrd or a command line that is too large is refused', () => {
  expect(refusal({ initrd: new Uint8Array(50 * mebibyte) })).toEqual({
    file: 'initrd',
    reason: 'of 50 MiB does not fit beside the kernel into 64 MiB of memory',
  })
  expect(refusal({ commandLine: 'x'.repeat(2048) })).toEqual({
    file: 'commandLine',
    reason: 'has 2048 bytes, and this kernel takes 2047',
  })
  expect(refusal({ commandLine: 'a\0b' })).toEqual({ file: 'commandLine', reason: 'contains a zero byte' })
})

describe('multiboot kernels', () => {
  const changed = (change: (view: DataView) => void): Uint8Array => {
    const kernel = builtInGuest()
    change(new DataView(kernel.buffer))
    return kernel
  }
  const elf = (change: (view: DataView) => void = () => undefined): Uint8Array => {
    const kernel = new Uint8Array(256)
    const view = new DataView(kernel.buffer)
    kernel.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1])
    view.setUint32(28, 52, true)
    view.setUint16(42, 32, true)
    view.setUint16(44, 2, true)
    view.setUint32(52, 1, true)
    view.setUint32(56, 128, true)
    view.setUint32(64, 0x10_0000, true)
    view.setUint32(68, 64, true)
    view.setUint32(72, 64, true)
    view.setUint32(120, 0x1badb002, true)
    view.setUint32(128, -0x1badb002, true)
    change(view)
    return kernel
  }

  test('are passed through with their module and command line', () => {
    const kernel = builtInGuest()
    expect(new Uint8Array(linuxBootImage({ kernel, memoryMiB: 16 }).image)).toEqual(kernel)
    const initrd = Uint8Array.of(1, 2, 3)
    expect(linuxBootImage({ kernel: elf(), initrd, commandLine: 'quiet', memoryMiB: 64 })).toEqual({
      image: elf().buffer,
      initrd: initrd.buffer,
      commandLine: 'quiet',
    })
  })

  test.each<[string, Partial<LinuxBoot>, string]>([
    [
      'address table',
      { kernel: changed((view) => view.setUint32(20, 0x20_0000, true)) },
      'addresses do not match the file',
    ],
    ['address below', { kernel: changed((view) => view.setUint32(12, 0, true)) }, 'addresses do not match the file'],
    ['cut off', { kernel: builtInGuest().subarray(0, 20) }, 'is cut off in its multiboot header'],
    ['small memory', { kernel: builtInGuest(), memoryMiB: 1 }, 'does not fit into memory: it needs 2 MiB, there are 1'],
    [
      'video flag',
      {
        kernel: elf((view) =>
          [4, -0x1badb002 - 4].forEach((value, index) => view.setUint32(124 + 4 * index, value, true)),
        ),
      },
      'features that are not there',
    ],
    ['64-bit', { kernel: elf((view) => view.setUint8(4, 2)) }, 'is neither a 32-bit ELF file'],
    ['headers', { kernel: elf((view) => view.setUint16(44, 100, true)) }, 'is cut off in its ELF program headers'],
    ['segment', { kernel: elf((view) => view.setUint32(68, 1000, true)) }, 'its ELF segments end past the file'],
    ['high segment', { kernel: elf((view) => view.setUint32(64, 0x7000_0000, true)) }, 'does not fit into memory'],
    [
      'module',
      { kernel: elf(), initrd: new Uint8Array(1), memoryMiB: 32 },
      'of a multiboot kernel needs 64 MiB of memory',
    ],
    ['large module', { kernel: elf(), initrd: new Uint8Array(40 * mebibyte) }, 'of 40 MiB does not fit'],
    ['command line', { kernel: elf(), commandLine: 'x'.repeat(3000) }, 'has 3000 bytes, and this kernel takes 2047'],
  ])('%s', (_name, boot, reason) => {
    expect(refusal(boot).reason).toContain(reason)
  })
})
