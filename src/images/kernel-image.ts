import { open } from 'node:fs/promises'
import type { GuestArchitecture } from '../model/vm-config.js'

/** The part of a file that may contain a multiboot header, or the setup header of a Linux kernel. */
const searchedBytes = 8192
const multibootMagic = 0x1badb002
const elfMagic = 0x464c457f

/** The reason why QEMU can't boot a file as a kernel for an architecture, as a clause; `undefined` if it can. */
export async function kernelProblem(path: string, architecture: GuestArchitecture): Promise<string | undefined> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    const head = Buffer.alloc(searchedBytes)
    const { bytesRead } = await file.read(head, 0, searchedBytes, 0)
    const start = head.subarray(0, bytesRead)
    if (architecture === 'aarch64') return isArmLinux(start) ? undefined : 'is no Linux kernel for aarch64'
    if (isMultiboot(start) || isElf(start)) return undefined
    return linuxProblem(start, size)
  } finally {
    await file.close()
  }
}

/** Checks the signatures of boot sector and setup header, and the length (Documentation/arch/x86/boot.rst). */
function linuxProblem(start: Buffer, size: number): string | undefined {
  const headerEnd = 0x264
  if (
    start.length < 0x206 ||
    start.readUInt16LE(0x1fe) !== 0xaa55 ||
    start.toString('latin1', 0x202, 0x206) !== 'HdrS'
  ) {
    return 'is neither a Linux kernel, nor a multiboot nor an ELF image'
  }
  const sectors = (start[0x1f1] ?? 0) === 0 ? 4 : (start[0x1f1] ?? 0)
  return size < Math.max(headerEnd, (sectors + 1) * 512 + 1) ? 'is cut off' : undefined
}

/** The signature in the header of an Image (Documentation/arch/arm64/booting.rst), or that of gzip, which QEMU unpacks. */
const isArmLinux = (start: Buffer): boolean =>
  start.toString('latin1', 0x38, 0x3c) === 'ARMd' || start.toString('hex', 0, 2) === '1f8b'

const isElf = (start: Buffer): boolean => start.length >= 52 && start.readUInt32LE(0) === elfMagic

/** Multiboot Specification 0.6.96, section 3.1: magic, flags and checksum, 4-byte aligned, sum to 0. */
function isMultiboot(start: Buffer): boolean {
  for (let at = 0; at + 12 <= start.length; at += 4) {
    if (start.readUInt32LE(at) !== multibootMagic) continue
    if (((multibootMagic + start.readUInt32LE(at + 4) + start.readUInt32LE(at + 8)) & 0xffffffff) === 0) return true
  }
  return false
}
