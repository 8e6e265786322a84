import { open } from 'node:fs/promises'
import { InvalidArgumentError } from '../../errors.js'
import { recordImages, type ImageRecord, type RecordedImages } from '../../files/image-record.js'
import { namedImages, type ImageSettings } from '../../files/named-images.js'
import { readDiskImage } from '../../images/disk-image.js'

/** The multiboot header is within this many bytes of a kernel's start (multiboot specification, version 1). */
const searchedBytes = 8192
const multibootMagic = 0x1badb002
/** The setup header of a Linux kernel, by Documentation/arch/x86/boot.rst. */
const setup = { sectors: 0x1f1, bootFlag: 0x1fe, signature: 0x202, end: 0x268 } as const

/** True if the settings name a file that the host has to check. */
export const namesFiles = (settings: ImageSettings): boolean => namedImages(settings).length > 0

/** Throws unless all files that are new to a VM exist on this machine and have the right format. */
export async function recordFiles(
  wanted: ImageSettings,
  present: RecordedImages | undefined,
  root: string,
): Promise<ImageRecord> {
  const images = await recordImages({
    wanted,
    present,
    root,
    driver: 'simulated',
    takeDiskImage: readDiskImage,
  })
  const { kernel } = wanted.boot
  if (kernel !== undefined && kernel !== present?.boot.kernel) await checkKernel(kernel, `${root}.boot.kernel`)
  return images
}

async function checkKernel(kernel: string, path: string): Promise<void> {
  const file = await open(kernel)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(searchedBytes), 0, searchedBytes, 0)
    const { size } = await file.stat()
    const head = buffer.subarray(0, bytesRead)
    if (isLinux(head, size) || isMultiboot(head)) return
  } finally {
    await file.close()
  }
  const reason = `${path} can't be booted: ${JSON.stringify(kernel)} is neither a Linux kernel (bzImage) nor a multiboot image`
  throw new InvalidArgumentError({ path, reason })
}

function isLinux(head: Buffer, size: number): boolean {
  if (head.length < setup.end || head.readUInt16LE(setup.bootFlag) !== 0xaa55) return false
  if (head.toString('latin1', setup.signature, setup.signature + 4) !== 'HdrS') return false
  // 0 means 4, for very old kernels. The sector with the boot flag precedes them.
  const sectors = head.readUInt8(setup.sectors) || 4
  return size > (sectors + 1) * 512
}

function isMultiboot(head: Buffer): boolean {
  for (let offset = 0; offset + 12 <= head.length; offset += 4) {
    if (head.readUInt32LE(offset) !== multibootMagic) continue
    const sum = multibootMagic + head.readUInt32LE(offset + 4) + head.readUInt32LE(offset + 8)
    if (sum % 2 ** 32 === 0) return true
  }
  return false
}
