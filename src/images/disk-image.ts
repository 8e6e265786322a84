import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { InvalidArgumentError } from '../errors.js'
import { findForeignDisk, foreignFormats } from './foreign-disk.js'
import { damaged, isProblem, type ImageProblem } from './image-problem.js'
import { has, sampleOf, type ImageSample } from './image-sample.js'
import { noDiskProblem } from './no-disk.js'
import { qcow2Problem } from './qcow2-base.js'

/** The formats of images that a disk can start from. */
export const imageFormats = ['raw', 'qcow2', ...foreignFormats] as const
type ImageFormat = (typeof imageFormats)[number]

/** What an image of a disk is, by its header. */
export interface DiskImage {
  readonly format: ImageFormat
  /** The size of the disk, which is that of the file only if it is raw. */
  readonly diskBytes: number
}

const sectorBytes = 512
/** 4 PiB: more than any host takes, and an exact number. */
const maxDiskBytes = 2n ** 52n

/**
 * Finds the format of an image by its header, and the size of its disk. Reads some parts of at most 64 KiB of this file, and opens
 * nothing that the header names. Throws an `InvalidArgumentError` if no disk can start from it: it needs other files, its header
 * contradicts itself or the file, or it is something else than a disk.
 *
 * @param path the parameter with the image, for the error
 */
export async function readDiskImage(image: string, path: string): Promise<DiskImage> {
  // Without blocking: a pipe that took the place of the file would wait for a writer.
  await using file = await open(image, constants.O_RDONLY | constants.O_NONBLOCK)
  const found = await find(await sampleOf(file))
  if (!isProblem(found)) return found
  const { reason, hint } = found
  throw new InvalidArgumentError({ path, reason: `${path} names ${image}, which ${reason}`, hint })
}

async function find(sample: ImageSample): Promise<DiskImage | ImageProblem> {
  const { head, bytes } = sample
  if (has(head, 0, 'QFI\xfb')) return qcow2Problem(head, bytes) ?? sized('qcow2', head.readBigUInt64BE(24))
  const foreign = await findForeignDisk(sample)
  if (foreign !== undefined) return isProblem(foreign) ? foreign : sized(foreign.format, foreign.diskBytes)
  return noDiskProblem(sample) ?? sized('raw', BigInt(bytes))
}

function sized(format: ImageFormat, diskBytes: bigint): DiskImage | ImageProblem {
  const what = `is a ${format} image of a disk of ${String(diskBytes)} bytes`
  if (diskBytes % BigInt(sectorBytes) !== 0n) return damaged(`${what}, which is no multiple of ${String(sectorBytes)}`)
  if (diskBytes === 0n || diskBytes > maxDiskBytes) return damaged(`${what}, which no disk has`)
  return { format, diskBytes: Number(diskBytes) }
}
