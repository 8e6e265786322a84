import type { FileHandle } from 'node:fs/promises'
import { ProtocolError } from '../../../errors.js'
import { readQcow2Header, type Qcow2Header } from '../../../images/qcow2-header.js'
import { openOwn } from '../../../registry/own-file.js'

/** QEMU takes no larger L1 table. */
const maxTableBytes = 2 ** 25
/** Where the header has the number of the L1 table's entries, and after it the table's offset. */
const tableField = 36

/** The virtual size of a disk's own file, or of a base. */
export async function diskBytesOf(path: string): Promise<number> {
  await using file = await openOwn(path, { isShared: true })
  return (await headerOf(file, path)).diskBytes
}

/** True if nothing was ever written to a disk's own file, not even zeros: its L1 table has no entry. */
export async function isUnwritten(path: string): Promise<boolean> {
  await using file = await openOwn(path, { isShared: true })
  await headerOf(file, path)
  const { buffer: field } = await file.read(Buffer.alloc(12), 0, 12, tableField)
  const tableBytes = 8 * field.readUInt32BE(0)
  const offset = Number(field.readBigUInt64BE(4))
  if (tableBytes > maxTableBytes || !Number.isSafeInteger(offset)) return false
  const { buffer: table, bytesRead } = await file.read(Buffer.alloc(tableBytes), 0, tableBytes, offset)
  return bytesRead === tableBytes && table.every((byte) => byte === 0)
}

async function headerOf(file: FileHandle, path: string): Promise<Qcow2Header> {
  const header = await readQcow2Header(file)
  if (header !== undefined) return header
  throw new ProtocolError({ reason: `${path} is not a qcow2 file`, hint: 'Restore it from a backup.' })
}
