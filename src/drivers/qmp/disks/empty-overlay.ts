import { open, rm, type FileHandle } from 'node:fs/promises'

const clusterBits = 16
const clusterBytes = 2 ** clusterBits
/** What one L2 table maps, and so each entry of the L1 table. */
const bytesPerTable = (clusterBytes / 8) * clusterBytes
const headerBytes = 104
/** The header's extension for the format of the backing file. */
const formatExtension = 0xe2792aca
/** Where the name of the backing file is: after that extension and the end of extensions. */
const nameOffset = headerBytes + 16 + 8

/** Writes a qcow2 file without content, whose header names no other file, in well under a millisecond. */
export async function writeEmptyOverlay(path: string, diskBytes: number): Promise<void> {
  await using file = await open(path, 'wx', 0o600)
  await writeQcow2(file, Math.ceil(diskBytes / clusterBytes) * clusterBytes)
}

/** Makes an empty disk whose header names a base, which is qcow2, as `qemu-img create` does. */
export async function makeOverlayOn(path: string, base: string, diskBytes: number): Promise<void> {
  await using file = await open(path, 'wx', 0o600)
  try {
    await writeQcow2(file, diskBytes, base)
    await file.sync()
  } catch (error) {
    await rm(path, { force: true })
    throw error
  }
}

/**
 * The format is that of docs/interop/qcow2.txt of QEMU. The clusters are, in order: the header, the table of refcounts, the refcounts
 * of these clusters, and the L1 table.
 */
async function writeQcow2(file: FileHandle, diskBytes: number, base?: string): Promise<void> {
  const tables = Math.ceil(diskBytes / bytesPerTable)
  const clusters = 3 + Math.max(1, Math.ceil((8 * tables) / clusterBytes))
  const name = Buffer.from(base ?? '')
  const header = Buffer.alloc(nameOffset + name.byteLength)
  header.write('QFI\xfb', 'latin1')
  header.writeUInt32BE(3, 4)
  header.writeUInt32BE(clusterBits, 20)
  header.writeBigUInt64BE(BigInt(diskBytes), 24)
  header.writeUInt32BE(tables, 36)
  header.writeBigUInt64BE(BigInt(3 * clusterBytes), 40)
  header.writeBigUInt64BE(BigInt(clusterBytes), 48)
  header.writeUInt32BE(1, 56)
  // Refcounts of 16 bits.
  header.writeUInt32BE(4, 96)
  header.writeUInt32BE(headerBytes, 100)
  if (base !== undefined) {
    header.writeBigUInt64BE(BigInt(nameOffset), 8)
    header.writeUInt32BE(name.byteLength, 16)
    header.writeUInt32BE(formatExtension, headerBytes)
    header.writeUInt32BE('qcow2'.length, headerBytes + 4)
    header.write('qcow2', headerBytes + 8, 'latin1')
    name.copy(header, nameOffset)
  }
  const tableEntry = Buffer.alloc(8)
  tableEntry.writeBigUInt64BE(BigInt(2 * clusterBytes))
  const refcounts = Buffer.alloc(2 * clusters, Buffer.from([0, 1]))
  await file.truncate(clusters * clusterBytes)
  for (const [index, content] of [header, tableEntry, refcounts].entries()) {
    await file.write(content, 0, content.byteLength, index * clusterBytes)
  }
}
