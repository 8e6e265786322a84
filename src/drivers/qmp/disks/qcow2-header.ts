import { open, type FileHandle } from 'node:fs/promises'

/** What the header of a qcow2 file (QEMU's docs/interop/qcow2.txt) says of its disk, and of other files. */
export interface Qcow2Header {
  /** The size of the disk in it. */
  readonly diskBytes: number
  /** What it only keeps the differences to, as it is written there. */
  readonly backing: string | undefined
  /** Whether its data are in another file. */
  readonly hasDataFile: boolean
}

/** How much of a file has to be read: the fixed part of its header, and the name of the backing file in the first cluster. */
const headerBytes = 64 * 1024

const magic = 0x514649fb
/** The fixed part of the header. */
export const fixedBytes = 72
const maxNameBytes = 1023
/** Of the features that a program must know to read the file at all, from version 3 on. */
const dataFileFeature = 1n << 2n

/** The header of an open file; nothing where it is not one of qcow2. */
export async function readQcow2Header(file: FileHandle): Promise<Qcow2Header | undefined> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(headerBytes), 0, headerBytes, 0)
  return parseQcow2Header(buffer.subarray(0, bytesRead))
}

/** True for a file that begins as qcow2 files do, whatever else is in its header. */
export async function isQcow2(path: string): Promise<boolean> {
  const file = await open(path, 'r')
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0)
    return bytesRead === 4 && buffer.readUInt32BE(0) === magic
  } finally {
    await file.close()
  }
}

/** The header in the first bytes of a file; nothing where it is not one of qcow2. */
export function parseQcow2Header(bytes: Buffer): Qcow2Header | undefined {
  if (bytes.length < fixedBytes || bytes.readUInt32BE(0) !== magic) return undefined
  const version = bytes.readUInt32BE(4)
  if (version !== 2 && version !== 3) return undefined
  if (version === 3 && bytes.length < fixedBytes + 8) return undefined
  const diskBytes = Number(bytes.readBigUInt64BE(24))
  const offset = bytes.readBigUInt64BE(8)
  const length = bytes.readUInt32BE(16)
  const hasDataFile = version === 3 && (bytes.readBigUInt64BE(fixedBytes) & dataFileFeature) !== 0n
  if (offset === 0n) return { diskBytes, backing: undefined, hasDataFile }
  const end = offset + BigInt(length)
  if (length > maxNameBytes || end > BigInt(bytes.length)) return undefined
  return { diskBytes, backing: bytes.toString('utf8', Number(offset), Number(end)), hasDataFile }
}
