import { damaged, dependent, type ImageProblem } from './image-problem.js'
import { fixedBytes, parseQcow2Header } from './qcow2-header.js'

/** Bits of the incompatible features. Those for a dirty and a corrupt image matter to writers only: QEMU reads such images. */
const features = { dirty: 1n, corrupt: 2n, dataFile: 4n, compressionType: 8n, extendedL2: 16n }
const knownFeatures = Object.values(features).reduce((all, bit) => all | bit)

/** Limits of QEMU's block/qcow2.h. */
const limits = {
  clusterBits: { min: 9, max: 21 },
  l1Bytes: 32n * 2n ** 20n,
  refcountTableBytes: 8n * 2n ** 20n,
  snapshots: 65_536n,
  refcountOrder: 6,
}
/** The length of the header of version 3, without the fields that were added to it later. */
const version3Bytes = 104
const entryBytes = 8n
/** The fixed part of a snapshot's entry. */
const snapshotBytes = 40n

/**
 * Why a qcow2 file can't be the base of a disk, by its header (QEMU's docs/interop/qcow2.txt); `undefined` if it can.
 *
 * @param head the begin of the file
 * @param fileBytes the length of the file
 */
export function qcow2Problem(head: Buffer, fileBytes: number): ImageProblem | undefined {
  if (head.length < fixedBytes) return damaged('is a qcow2 image that ends within its header')
  const version = head.readUInt32BE(4)
  if (version === 1) {
    return {
      reason: 'is a qcow image of version 1, and only versions 2 and 3 are supported',
      hint: 'Convert it: qemu-img convert -f qcow -O qcow2 OLD NEW.',
    }
  }
  if (version !== 2 && version !== 3) return newer(`has version ${String(version)}`)
  if (version === 3 && head.length < version3Bytes) return damaged('is a qcow2 image that ends within its header')
  return (
    dependency(head) ??
    featureProblem(head, version) ??
    tableProblem(head, version, fileBytes) ??
    extensionProblem(head, version)
  )
}

function dependency(head: Buffer): ImageProblem | undefined {
  if (head.readBigUInt64BE(8) !== 0n) {
    const name = parseQcow2Header(head)?.backing
    const file = name === undefined ? 'a backing file' : `the backing file ${JSON.stringify(name)}`
    return dependent(`is a qcow2 image that needs ${file}`, 'qcow2')
  }
  if (head.readUInt32BE(32) !== 0) {
    return {
      reason: 'is a qcow2 image that is encrypted',
      hint: 'Convert it to one that is not: qemu-img convert --object secret,… --image-opts … -O qcow2 NEW.',
    }
  }
  return undefined
}

function featureProblem(head: Buffer, version: number): ImageProblem | undefined {
  const incompatible = featuresOf(head, version)
  if ((incompatible & features.dataFile) !== 0n) {
    return dependent('is a qcow2 image that has its data in another file', 'qcow2')
  }
  if ((incompatible & ~knownFeatures) !== 0n) return newer('has features that are not known')
  if (version === 2) return undefined
  const headerBytes = head.readUInt32BE(100)
  if (headerBytes < version3Bytes || headerBytes % 8 !== 0) return wrongLength
  if (head.readUInt32BE(96) > limits.refcountOrder) return damaged('is a qcow2 image with a wrong size of refcounts')
  const compression = headerBytes > version3Bytes ? (head[version3Bytes] ?? 0) : 0
  const isNamed = (incompatible & features.compressionType) !== 0n
  // 0 is zlib, which needs no feature; 1 is zstd.
  if (compression > 1) return newer(`has the compression ${String(compression)}`)
  if (isNamed !== compression > 0) return damaged('is a qcow2 image that contradicts itself about its compression')
  return undefined
}

const featuresOf = (head: Buffer, version: number): bigint => (version === 3 ? head.readBigUInt64BE(fixedBytes) : 0n)

/** All tables must be aligned and in the file, and the one for the guest's blocks must be large enough for the disk. */
function tableProblem(head: Buffer, version: number, fileBytes: number): ImageProblem | undefined {
  const clusterBits = head.readUInt32BE(20)
  const isExtended = (featuresOf(head, version) & features.extendedL2) !== 0n
  const least = isExtended ? 14 : limits.clusterBits.min
  if (clusterBits < least || clusterBits > limits.clusterBits.max) {
    return damaged(`is a qcow2 image with clusters of 2^${String(clusterBits)} bytes`)
  }
  const clusterBytes = 1n << BigInt(clusterBits)
  if (version === 3 && BigInt(head.readUInt32BE(100)) > clusterBytes) return wrongLength
  const l1Bytes = BigInt(head.readUInt32BE(36)) * entryBytes
  const refcountTableBytes = BigInt(head.readUInt32BE(56)) * clusterBytes
  const snapshots = BigInt(head.readUInt32BE(60))
  if (l1Bytes > limits.l1Bytes || refcountTableBytes > limits.refcountTableBytes || snapshots > limits.snapshots) {
    return damaged('is a qcow2 image with a table that is larger than any')
  }
  if (refcountTableBytes === 0n) return damaged('is a qcow2 image without a table of refcounts')
  const tables = [
    ['its blocks', head.readBigUInt64BE(40), l1Bytes],
    ['its refcounts', head.readBigUInt64BE(48), refcountTableBytes],
    ['its snapshots', head.readBigUInt64BE(64), snapshots * snapshotBytes],
  ] as const
  for (const [what, offset, length] of tables) {
    if (offset % clusterBytes !== 0n) return damaged(`is a qcow2 image whose table of ${what} is not aligned`)
    const isInFile = length === 0n ? offset < 2n ** 63n : offset > 0n && offset + length <= BigInt(fileBytes)
    if (!isInFile) {
      return damaged(`is a qcow2 image whose table of ${what} is not in the file`)
    }
  }
  // Each entry is for a table of one cluster, whose own entries are for a cluster each.
  const bytesPerEntry = clusterBytes * (clusterBytes / (isExtended ? 16n : 8n))
  const needed = (head.readBigUInt64BE(24) + bytesPerEntry - 1n) / bytesPerEntry
  if (needed * entryBytes > l1Bytes)
    return damaged('is a qcow2 image whose table of its blocks is too small for the disk')
  return undefined
}

/** The extensions that follow the header must end in its cluster. */
function extensionProblem(head: Buffer, version: number): ImageProblem | undefined {
  const end = Math.min(head.length, 2 ** head.readUInt32BE(20))
  let at = version === 2 ? fixedBytes : head.readUInt32BE(100)
  while (at + 8 <= end) {
    const [kind, length] = [head.readUInt32BE(at), head.readUInt32BE(at + 4)]
    at += 8 + Math.ceil(length / 8) * 8
    if (at > end) return damaged('is a qcow2 image with an extension that is larger than its header')
    // The last one.
    if (kind === 0) break
  }
  return undefined
}

const wrongLength = damaged('is a qcow2 image with a wrong length of its header')

const newer = (what: string): ImageProblem => ({
  reason: `is a qcow2 image that ${what}`,
  hint: 'Convert it with the program that made it: qemu-img convert -O qcow2 -o compat=1.1 OLD NEW.',
})
