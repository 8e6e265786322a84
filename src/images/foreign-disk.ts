import { damaged, dependent, difference, type ImageProblem } from './image-problem.js'
import { has, type ImageSample } from './image-sample.js'
import { readVhdxBytes } from './vhdx-header.js'
import { readVmdkBytes } from './vmdk-header.js'

/** Formats of other programs, whose images are converted before they are used. */
export const foreignFormats = ['vmdk', 'vdi', 'vhd', 'vhdx', 'qed'] as const
export type ForeignFormat = (typeof foreignFormats)[number]

/** An image of another program. */
export interface ForeignImage {
  readonly image: string
  readonly format: ForeignFormat
}

export const isForeign = (format: string): format is ForeignFormat =>
  foreignFormats.some((foreign) => foreign === format)

/** The size of the disk in an image of another program, or why it can't be used; `undefined` if it is no such image. */
export async function findForeignDisk(
  sample: ImageSample,
): Promise<{ readonly format: ForeignFormat; readonly diskBytes: bigint } | ImageProblem | undefined> {
  for (const format of foreignFormats) {
    const found = await readers[format](sample)
    if (found !== undefined) return typeof found === 'bigint' ? { format, diskBytes: found } : found
  }
  return undefined
}

type Reader = (sample: ImageSample) => Promise<bigint | ImageProblem | undefined> | bigint | ImageProblem | undefined

const readers: Readonly<Record<ForeignFormat, Reader>> = {
  vmdk: readVmdkBytes,
  vdi: readVdiBytes,
  vhd: readVhdBytes,
  vhdx: readVhdxBytes,
  qed: readQedBytes,
}

/** VirtualBox's format, by QEMU's block/vdi.c. */
function readVdiBytes({ head }: ImageSample): bigint | ImageProblem | undefined {
  if (!has(head, 0x40, Buffer.from([0x7f, 0x10, 0xda, 0xbe]))) return undefined
  if (head.length < 0x178) return damaged('is a vdi image that ends within its header')
  const kind = head.readUInt32LE(0x4c)
  // 1 is dynamic, 2 fixed.
  if (kind !== 1 && kind !== 2) return difference('vdi')
  return head.readBigUInt64LE(0x170)
}

const footerBytes = 512
const vhdCookie = 'conectix'

/** Virtual PC's format, by Microsoft's "Virtual Hard Disk Image Format Specification": a fixed one has its header at the end. */
async function readVhdBytes({ head, bytes, read }: ImageSample): Promise<bigint | ImageProblem | undefined> {
  const isDynamic = has(head, 0, vhdCookie)
  const header = isDynamic ? head.subarray(0, footerBytes) : await read(bytes - footerBytes, footerBytes)
  if (header.length < footerBytes || !has(header, 0, vhdCookie)) {
    return isDynamic ? damaged('is a vhd image that ends within its header') : undefined
  }
  if (header.readUInt32BE(64) !== checksumOf(header)) {
    // A guest may have written the cookie to the end of its disk.
    return isDynamic ? damaged('is a vhd image with a wrong checksum') : undefined
  }
  const kind = header.readUInt32BE(60)
  if (kind === 4) return difference('vhd')
  if (kind !== (isDynamic ? 3 : 2)) return damaged(`is a vhd image of the unknown kind ${String(kind)}`)
  return header.readBigUInt64BE(48)
}

/** The complement of the sum of all bytes but those of the checksum itself. */
const checksumOf = (header: Buffer): number =>
  ~header.reduce((sum, byte, index) => (index >= 64 && index < 68 ? sum : sum + byte), 0) >>> 0

/** An old format of QEMU, by its docs/interop/qed_spec.txt. */
function readQedBytes({ head }: ImageSample): bigint | ImageProblem | undefined {
  if (!has(head, 0, 'QED\0')) return undefined
  if (head.length < 64) return damaged('is a qed image that ends within its header')
  const features = head.readBigUInt64LE(16)
  if ((features & 1n) !== 0n) return dependent('is a qed image that needs a backing file', 'qed')
  return head.readBigUInt64LE(48)
}
