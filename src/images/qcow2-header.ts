import type { FileHandle } from 'node:fs/promises'

/** The header of a qcow2 file (QEMU's docs/interop/qcow2.txt), as far as it is needed. */
export interface Qcow2Header {
  /** The virtual size. */
  readonly diskBytes: number
  /** The backing file, as it is written there. */
  readonly backing: string | undefined
  /** True if the data are in another file. */
  readonly hasDataFile: boolean
}

/** How much has to be read: the fixed part of the header, and the name of the backing file, which is in the first cluster. */
const headerBytes = 64 * 1024

/** `QFI\xfb` */
const magic = 0x514649fb
/** The length of the header's fixed part. */
export const fixedBytes = 72
const maxNameBytes = 1023
/** A bit of the incompatible features, which version 3 has. */
const dataFileFeature = 1n << 2n

/** Reads the header of an open file; `undefined` if that is not qcow2. */
export async function readQcow2Header(file: FileHandle): Promise<Qcow2Header | undefined> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(headerBytes), 0, headerBytes, 0)
  return parseQcow2Header(buffer.subarray(0, bytesRead))
}

/** Parses the header in the first bytes of a file; `undefined` if that is not qcow2. */
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
