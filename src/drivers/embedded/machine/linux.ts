import { acpiAddress, acpiTables } from './acpi.js'
import { BootImageError } from './boot-image-error.js'
import { elf32Image, type Segment } from './elf32-image.js'
import { checkMultibootImage, findMultibootHeader } from './multiboot.js'

export interface LinuxBoot {
  readonly kernel: Uint8Array
  readonly initrd?: Uint8Array | undefined
  /** A cpio archive that follows the initrd; not for a multiboot kernel. */
  readonly addedArchive?: Uint8Array | undefined
  readonly commandLine?: string | undefined
  readonly memoryMiB: number
}

/** The input of the emulator's multiboot loader. `initrd` and `commandLine` are set for multiboot kernels only. */
export interface MultibootImage {
  readonly image: ArrayBuffer
  readonly initrd?: ArrayBuffer
  readonly commandLine?: string
}

const mebibyte = 0x10_0000
const stubAddress = 0x8000
const zeroPageAddress = 0x9000
const commandLineAddress = 0xa000
const kernelAddress = 0x10_0000
const pageSize = 4096
/** Archives in an initrd begin at such offsets (Documentation/driver-api/early-userspace/buffer-format.rst). */
const archiveAlignment = 4
/** The emulator's own minimum for a multiboot kernel with a module. */
const multibootModuleMemoryMiB = 64
const maxMultibootCommandLine = 2047

/** Setup header fields, by offset into the bzImage and the zero page alike (Documentation/arch/x86/boot.rst). */
const field = {
  setupSectors: 0x1f1,
  videoMode: 0x1fa,
  bootFlag: 0x1fe,
  headerLength: 0x201,
  signature: 0x202,
  version: 0x206,
  typeOfLoader: 0x210,
  loadFlags: 0x211,
  ramdiskImage: 0x218,
  ramdiskSize: 0x21c,
  commandLinePointer: 0x228,
  initrdMax: 0x22c,
  xloadFlags: 0x236,
  commandLineSize: 0x238,
  preferredAddress: 0x258,
  initSize: 0x260,
} as const

/** Further fields of the zero page. */
const zeroPage = { rsdpAddress: 0x070, e820Count: 0x1e8, e820Table: 0x2d0 } as const

/**
 * An image that boots a Linux kernel without firmware, by the kernel's 32-bit boot protocol, with ACPI tables.
 * A multiboot kernel is passed through as it is.
 *
 * @throws BootImageError for a kernel, initrd or command line that this machine can't boot
 */
export const linuxBootImage = (boot: LinuxBoot): MultibootImage => {
  const commandLine = Buffer.from(boot.commandLine ?? '')
  if (commandLine.includes(0)) throw new BootImageError('commandLine', 'contains a zero byte')
  const header = findMultibootHeader(boot.kernel)
  return header === undefined ? bzImage(boot, commandLine) : multibootKernel(boot, header, commandLine)
}

const multibootKernel = (boot: LinuxBoot, header: number, commandLine: Uint8Array): MultibootImage => {
  checkMultibootImage(boot.kernel, header, boot.memoryMiB * mebibyte)
  checkCommandLine(commandLine, maxMultibootCommandLine)
  if (boot.initrd !== undefined) {
    if (boot.memoryMiB < multibootModuleMemoryMiB) {
      throw new BootImageError(
        'initrd',
        `of a multiboot kernel needs ${String(multibootModuleMemoryMiB)} MiB of memory`,
      )
    }
    if (boot.kernel.byteLength + boot.initrd.byteLength + 32 * mebibyte > boot.memoryMiB * mebibyte) {
      throw initrdDoesNotFit(boot.initrd.byteLength, boot.memoryMiB)
    }
  }
  return {
    image: Uint8Array.from(boot.kernel).buffer,
    ...(boot.initrd && { initrd: Uint8Array.from(boot.initrd).buffer }),
    ...(commandLine.byteLength > 0 && { commandLine: commandLine.toString() }),
  }
}

const bzImage = (boot: LinuxBoot, commandLine: Uint8Array): MultibootImage => {
  const { kernel, initrd, addedArchive = new Uint8Array() } = boot
  const memoryBytes = boot.memoryMiB * mebibyte
  const setup = readSetup(kernel)
  checkCommandLine(commandLine, setup.commandLineSize)
  if (setup.memoryNeeded > memoryBytes) {
    const needed = String(Math.ceil(setup.memoryNeeded / mebibyte))
    throw new BootImageError(
      'kernel',
      `needs ${needed} MiB of memory to unpack itself, the machine has ${String(boot.memoryMiB)}`,
    )
  }

  const page = new Uint8Array(pageSize)
  page.set(kernel.subarray(field.setupSectors, setup.headerEnd), field.setupSectors)
  const view = new DataView(page.buffer)
  view.setUint8(field.typeOfLoader, 0xff)
  view.setUint8(field.loadFlags, view.getUint8(field.loadFlags) | 1)
  view.setUint16(field.videoMode, 0xffff, true)
  view.setUint32(field.commandLinePointer, commandLineAddress, true)
  view.setUint32(zeroPage.rsdpAddress, acpiAddress, true)
  writeMemoryMap(view, memoryBytes)

  const segments: Segment[] = [
    { address: stubAddress, bytes: bootStub() },
    { address: zeroPageAddress, bytes: page },
    { address: commandLineAddress, bytes: Buffer.concat([commandLine, Uint8Array.of(0)]) },
    { address: acpiAddress, bytes: acpiTables() },
    { address: kernelAddress, bytes: kernel.subarray(setup.kernelOffset) },
  ]
  if (initrd !== undefined && initrd.byteLength > 0) {
    // The loader skips a segment that ends exactly at the top of memory.
    const top = Math.min(memoryBytes, setup.initrdMax + 1) - pageSize
    const addedAt = Math.ceil(initrd.byteLength / archiveAlignment) * archiveAlignment
    const size = addedArchive.byteLength === 0 ? initrd.byteLength : addedAt + addedArchive.byteLength
    const address = Math.floor((top - size) / pageSize) * pageSize
    if (address < setup.memoryNeeded) throw initrdDoesNotFit(initrd.byteLength, boot.memoryMiB)
    view.setUint32(field.ramdiskImage, address, true)
    view.setUint32(field.ramdiskSize, size, true)
    segments.push({ address, bytes: initrd })
    if (addedArchive.byteLength > 0) segments.push({ address: address + addedAt, bytes: addedArchive })
  }
  return { image: elf32Image(stubAddress, segments) }
}

interface Setup {
  readonly kernelOffset: number
  readonly headerEnd: number
  readonly commandLineSize: number
  readonly initrdMax: number
  /** End of the memory that the kernel unpacks itself into. */
  readonly memoryNeeded: number
}

const readSetup = (kernel: Uint8Array): Setup => {
  const view = new DataView(kernel.buffer, kernel.byteOffset, kernel.byteLength)
  const isBzImage =
    kernel.byteLength > 0x268 &&
    view.getUint16(field.bootFlag, true) === 0xaa55 &&
    view.getUint32(field.signature, true) === 0x53726448
  if (!isBzImage) throw new BootImageError('kernel', `is not a bzImage${describe(kernel)}`)

  const version = view.getUint16(field.version, true)
  if (version < 0x206) {
    const found = `${String(version >> 8)}.${String(version & 0xff)}`
    throw new BootImageError('kernel', `has boot protocol ${found}; 2.6 (Linux 2.6.22) or later is needed`)
  }
  if ((view.getUint8(field.loadFlags) & 1) === 0) {
    throw new BootImageError('kernel', 'is a zImage, which loads low; a bzImage is needed')
  }
  if (version >= 0x20c && (view.getUint16(field.xloadFlags, true) & 1) !== 0) {
    throw new BootImageError('kernel', 'is for x86-64, and this CPU is a 32-bit i686; use an i386 or i686 kernel')
  }
  const kernelOffset = ((view.getUint8(field.setupSectors) || 4) + 1) * 512
  if (kernelOffset + 1024 > kernel.byteLength) {
    throw new BootImageError('kernel', `is cut off: it has only ${String(kernel.byteLength)} bytes`)
  }
  const size = kernel.byteLength - kernelOffset
  const memoryNeeded =
    version >= 0x20a
      ? Math.max(kernelAddress, view.getUint32(field.preferredAddress, true)) + view.getUint32(field.initSize, true)
      : kernelAddress + 4 * size
  return {
    kernelOffset,
    headerEnd: Math.min(0x202 + view.getUint8(field.headerLength), 0x290),
    commandLineSize: view.getUint32(field.commandLineSize, true),
    initrdMax: view.getUint32(field.initrdMax, true),
    memoryNeeded: Math.max(memoryNeeded, kernelAddress + size),
  }
}

const signatures: readonly (readonly [offset: number, bytes: readonly number[], what: string])[] = [
  [0, [0x7f, 0x45, 0x4c, 0x46], 'an ELF file, perhaps vmlinux; use arch/x86/boot/bzImage of the same build'],
  [0x38, [0x41, 0x52, 0x4d, 0x64], 'an arm64 Image'],
  [0, [0x1f, 0x8b], 'gzip data, perhaps an initrd or a compressed kernel of another architecture'],
  [0, [0xfd, 0x37, 0x7a, 0x58, 0x5a], 'xz data'],
  [0, [0x28, 0xb5, 0x2f, 0xfd], 'zstd data'],
  [0, [0x27, 0x05, 0x19, 0x56], 'a U-Boot uImage'],
  [0, [0x30, 0x37, 0x30, 0x37, 0x30], 'a cpio archive, so rather an initrd'],
  [0, [0x4d, 0x5a], 'an EFI program without a Linux boot header'],
  [0x1fe, [0x55, 0xaa], 'a boot sector or disk image'],
]

const describe = (bytes: Uint8Array): string => {
  if (bytes.byteLength === 0) return ': it is empty'
  const match = signatures.find(([offset, magic]) => magic.every((byte, index) => bytes[offset + index] === byte))
  if (match !== undefined) return `: it looks like ${match[2]}`
  return bytes.byteLength <= 0x268 ? `: it has only ${String(bytes.byteLength)} bytes` : ''
}

const checkCommandLine = (commandLine: Uint8Array, limit: number): void => {
  if (commandLine.byteLength > limit) {
    const length = String(commandLine.byteLength)
    throw new BootImageError('commandLine', `has ${length} bytes, and this kernel takes ${String(limit)}`)
  }
}

const initrdDoesNotFit = (bytes: number, memoryMiB: number): BootImageError =>
  new BootImageError(
    'initrd',
    `of ${String(Math.ceil(bytes / mebibyte))} MiB does not fit beside the kernel into ${String(memoryMiB)} MiB of memory`,
  )

const writeMemoryMap = (view: DataView, memoryBytes: number): void => {
  const ram = 1
  const reserved = 2
  const ranges = [
    [0, 0x9fc00, ram],
    [0x9fc00, 0xa0000, reserved],
    [acpiAddress, kernelAddress, reserved],
    [kernelAddress, memoryBytes, ram],
  ] as const
  view.setUint8(zeroPage.e820Count, ranges.length)
  ranges.forEach(([start, end, type], index) => {
    const entry = zeroPage.e820Table + 20 * index
    view.setUint32(entry, start, true)
    view.setUint32(entry + 8, end - start, true)
    view.setUint32(entry + 16, type, true)
  })
}

/** Machine code that sets up the registers for the 32-bit boot protocol, and jumps into the kernel. */
const bootStub = (): Uint8Array => {
  const gdtOffset = 64
  const gdtPointerOffset = 96
  const stub = new Uint8Array(104)
  const u32 = (value: number): readonly number[] => [
    value & 0xff,
    (value >> 8) & 0xff,
    (value >> 16) & 0xff,
    value >>> 24,
  ]
  stub.set([
    ...[0xfa, 0xfc], // cli; cld
    ...[0x0f, 0x01, 0x15, ...u32(stubAddress + gdtPointerOffset)], // lgdt
    ...[0x66, 0xb8, 0x18, 0x00], // mov ax, 0x18
    ...[0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xe0, 0x8e, 0xe8, 0x8e, 0xd0], // mov ds, es, fs, gs, ss
    ...[0xbc, ...u32(stubAddress)], // mov esp
    ...[0xbe, ...u32(zeroPageAddress)], // mov esi
    ...[0x31, 0xed, 0x31, 0xff, 0x31, 0xdb], // xor ebp, edi, ebx
    ...[0xea, ...u32(kernelAddress), 0x10, 0x00], // jmp 0x10:kernel
  ])
  const view = new DataView(stub.buffer)
  view.setBigUint64(gdtOffset + 0x10, 0x00cf9a000000ffffn, true)
  view.setBigUint64(gdtOffset + 0x18, 0x00cf92000000ffffn, true)
  view.setUint16(gdtPointerOffset, 0x1f, true)
  view.setUint32(gdtPointerOffset + 2, stubAddress + gdtOffset, true)
  return stub
}
