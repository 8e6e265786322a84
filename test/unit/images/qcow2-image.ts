/** The fields of a qcow2 header that differ from those of a valid image of 1 MiB. */
export interface Qcow2Fields {
  readonly version?: number
  readonly backingOffset?: bigint
  readonly backing?: string
  readonly clusterBits?: number
  readonly diskBytes?: bigint
  readonly encryption?: number
  readonly l1Entries?: number
  readonly l1Offset?: bigint
  readonly refcountOffset?: bigint
  readonly refcountClusters?: number
  readonly snapshots?: number
  readonly snapshotOffset?: bigint
  readonly incompatible?: bigint
  readonly compatible?: bigint
  readonly autoclear?: bigint
  readonly refcountOrder?: number
  readonly headerLength?: number
  readonly compression?: number
}

const clusterBits = 16
const clusterBytes = 2 ** clusterBits

/** An image without content, as `qemu-img create` makes it: the header, the refcounts in two clusters, and the table of blocks. */
export function qcow2Image(fields: Qcow2Fields): Buffer {
  const { version = 3, backing = '' } = fields
  const bytes = Buffer.alloc(4 * clusterBytes)
  bytes.write('QFI\xfb', 'latin1')
  bytes.writeUInt32BE(version, 4)
  bytes.writeBigUInt64BE(fields.backingOffset ?? 0n, 8)
  bytes.writeUInt32BE(Buffer.byteLength(backing), 16)
  bytes.writeUInt32BE(fields.clusterBits ?? clusterBits, 20)
  bytes.writeBigUInt64BE(fields.diskBytes ?? 2n ** 20n, 24)
  bytes.writeUInt32BE(fields.encryption ?? 0, 32)
  bytes.writeUInt32BE(fields.l1Entries ?? 1, 36)
  bytes.writeBigUInt64BE(fields.l1Offset ?? BigInt(3 * clusterBytes), 40)
  bytes.writeBigUInt64BE(fields.refcountOffset ?? BigInt(clusterBytes), 48)
  bytes.writeUInt32BE(fields.refcountClusters ?? 1, 56)
  bytes.writeUInt32BE(fields.snapshots ?? 0, 60)
  bytes.writeBigUInt64BE(fields.snapshotOffset ?? 0n, 64)
  if (version >= 3) {
    bytes.writeBigUInt64BE(fields.incompatible ?? 0n, 72)
    bytes.writeBigUInt64BE(fields.compatible ?? 0n, 80)
    bytes.writeBigUInt64BE(fields.autoclear ?? 0n, 88)
    bytes.writeUInt32BE(fields.refcountOrder ?? 4, 96)
    bytes.writeUInt32BE(fields.headerLength ?? 104, 100)
    bytes.writeUInt8(fields.compression ?? 0, 104)
  }
  bytes.write(backing, 256)
  // The table of refcounts, and the refcounts of the four clusters.
  bytes.writeBigUInt64BE(BigInt(2 * clusterBytes), clusterBytes)
  for (let cluster = 0; cluster < 4; cluster += 1) bytes.writeUInt16BE(1, 2 * clusterBytes + 2 * cluster)
  return bytes
}
