import { isDeepStrictEqual } from 'node:util'
import * as v from 'valibot'
import { InvalidArgumentError } from '../errors.js'
import { imageFormats, readDiskImage, type DiskImage } from '../images/disk-image.js'
import { isForeign } from '../images/foreign-disk.js'
import type { DiskConfig } from '../model/vm-config.js'
import { requireRoom } from './check-drives.js'
import { checkFile, fileStampSchema, type FileStamp } from './check-file.js'
import { namedImages, type ImageSettings, type NamedImage } from './named-images.js'

const recordedImageSchema = v.strictObject({
  ...fileStampSchema.entries,
  /** What the image of a disk is, found once by its header: a guest may write another header into a raw one. */
  disk: v.optional(
    v.strictObject({ format: v.picklist(imageFormats), diskBytes: v.pipe(v.number(), v.safeInteger()) }),
  ),
})

/**
 * The stamps of a VM's images, by path. The guest's blocks are an overlay on the image of the disk, and saved memory relies on
 * all images that the guest had: a rewritten image must be detected.
 */
export const imageRecordSchema = v.record(v.string(), recordedImageSchema)

type RecordedImage = FileStamp & { readonly disk?: DiskImage | undefined }

export type ImageRecord = Readonly<Record<string, RecordedImage>>

/** Settings with the stamps of their images. */
export interface RecordedImages extends ImageSettings {
  readonly images: ImageRecord
}

const mebibyte = 2 ** 20

interface Plan {
  readonly wanted: ImageSettings
  /** The images that the VM has already. They are not checked: a missing one does not prevent an edit of other settings. */
  readonly present: RecordedImages | undefined
  /** The parameter with the settings, and the driver's name, for errors. */
  readonly root: string
  readonly driver: string
  /** Finds out what the image of a disk is, and throws if the host can't use it. */
  readonly takeDiskImage: (image: string, path: string) => Promise<DiskImage>
}

/** Checks the images that are new to a VM; returns the record of all its images. */
export async function recordImages(plan: Plan): Promise<ImageRecord> {
  const { wanted, present, root, driver, takeDiskImage } = plan
  const added = new Map(addedImages(plan).map((named) => [named.path, named]))
  const kept = namedImages(wanted).filter(({ path }) => !added.has(path))
  const images: Record<string, RecordedImage> = {}
  for (const { image } of kept) {
    const stamp = present?.images[image]
    if (stamp !== undefined) images[image] = stamp
  }
  for (const named of added.values()) {
    const { kind, image } = named
    const path = `${root}.${named.path}`
    const stamp = await checkFile(image, path, driver)
    // The stamp is older: an image that changes while it is read is refused later.
    const disk = kind === 'disks' ? await takeDiskImage(image, path) : images[image]?.disk
    // Another disk of the VM may be based on the former content of the file.
    const isShared = kept.some((other) => other.kind === 'disks' && other.image === image)
    if (isShared && !isSame(images[image], stamp)) throw writtenAnew(image, path, images[image], stamp, '')
    images[image] = { ...stamp, ...(disk && { disk }) }
  }
  for (const [index, { image, sizeMiB }] of wanted.disks.entries()) {
    if (image === undefined) continue
    requireRoom(sizeMiB, diskBytes({ image }, { images }), `${root}.disks[${String(index)}].sizeMiB`)
  }
  return images
}

/** The size of a disk in bytes: its own, else that of the disk in its image as recorded. */
export const diskBytes = (
  { image, sizeMiB }: Pick<DiskConfig, 'image' | 'sizeMiB'>,
  { images }: Pick<RecordedImages, 'images'>,
): number => (sizeMiB === undefined && image !== undefined ? bytesOf(images[image]) : (sizeMiB ?? 0) * mebibyte)

/**
 * True for an image that an older awaitvm converted into a file of the VM, when the disk was made: the disk does not need it any more.
 * Newer ones record what the image was converted to.
 */
export const isConverted = (recorded: RecordedImage | undefined): boolean =>
  recorded?.disk !== undefined && isForeign(recorded.disk.format)

/** True if a disk is upon the image, and needs it. */
export const startsFrom = ({ disks, images }: RecordedImages, image: string): boolean =>
  disks.some((disk) => disk.image === image) && !isConverted(images[image])

const bytesOf = (recorded: RecordedImage | undefined): number => recorded?.disk?.diskBytes ?? recorded?.sizeBytes ?? 0

function addedImages({ wanted, present }: Plan): NamedImage[] {
  const known = new Set(present === undefined ? [] : namedImages(present).map(roleOf))
  const isKept = ({ id }: DiskConfig): boolean => present?.disks.some((disk) => disk.id === id) === true
  const disks = wanted.disks.map((disk) => (isKept(disk) ? { id: disk.id } : disk))
  return namedImages({ ...wanted, disks }).filter((named) => named.kind === 'disks' || !known.has(roleOf(named)))
}

/** A medium in another drive is still the same medium. */
const roleOf = ({ kind, path, image }: NamedImage): string => `${kind === 'boot' ? path : kind}:${image}`

/** What a VM's images are needed for. */
export type ImageUse = 'start' | 'suspend' | 'resume' | 'snapshot' | 'disks'

/**
 * Throws if an image of a VM is missing, or was rewritten and the operation needs the recorded one:
 * - `'disks'`: images of disks, for operations on the content of disks;
 * - `'start'`: all images must exist. Media and kernels may be rewritten, images of disks may not: the disks are overlays on them;
 * - `'resume'`, `'snapshot'`: all images, unchanged, to resume from saved memory or from that of a snapshot;
 * - `'suspend'`: the same, before memory is saved: without the images it could not be resumed.
 *
 * Returns the new record: the same object if nothing has changed.
 */
export async function requireImages(settings: RecordedImages, use: ImageUse, driver: string): Promise<ImageRecord> {
  const { images } = settings
  const changed: Record<string, FileStamp> = {}
  for (const named of namedImages(settings)) {
    const { kind, image } = named
    if (use === 'disks' && kind !== 'disks') continue
    if (kind === 'disks' && isConverted(images[image])) continue
    const path = `${use === 'snapshot' ? 'snapshot' : 'config'}.${named.path}`
    const wayOut = waysOut[use][kind]
    const stamp = await checkFile(image, path, driver, `Put the file back${wayOut}.`)
    if (isSame(images[image], stamp)) continue
    if (use !== 'start' || kind === 'disks') throw writtenAnew(image, path, images[image], stamp, wayOut)
    changed[image] = stamp
  }
  return Object.keys(changed).length === 0 ? images : { ...images, ...changed }
}

/**
 * The same for the images of new disks, once the VM that names them is seen by others: until then, nothing kept another process from
 * removing them. `takeBack` undoes what made the disks.
 */
export async function requireStillThere(
  settings: RecordedImages,
  driver: string,
  takeBack: () => Promise<void>,
): Promise<void> {
  try {
    await requireImages(settings, 'disks', driver)
  } catch (error) {
    await takeBack()
    throw error
  }
}

/**
 * Throws unless the images that a record of elsewhere gives a format of their own have it, and are unchanged: with a wrong one, QEMU
 * would open what their headers name.
 */
export async function verifyFormats({ images }: Pick<RecordedImages, 'images'>, driver: string): Promise<void> {
  for (const [image, recorded] of Object.entries(images)) {
    const { disk } = recorded
    if (disk === undefined || disk.format === 'raw' || isForeign(disk.format)) continue
    const stamp = await checkFile(image, 'path', driver)
    if (!isSame(recorded, stamp)) throw writtenAnew(image, 'path', recorded, stamp, '')
    if (isDeepStrictEqual(await readDiskImage(image, 'path'), disk)) continue
    const reason = `it takes ${image} for a ${disk.format} image of ${String(disk.diskBytes)} bytes, which it is not`
    throw new InvalidArgumentError({ path: 'path', reason })
  }
}

const otherMedium = (kind: 'cdroms' | 'floppies'): string => `, or take it out with vm.edit({ ${kind} })`
const dropMemory = ", or drop the saved memory with vm.stop({ mode: 'kill' })"
const copyOut = ', or copy what you need out of the guest while it runs'
const stopInstead = ', or shut the guest down with vm.stop() instead'
const newVm = ', or make a new VM with server.createVm()'

/** What to do if the file can't be put back. */
const waysOut: Readonly<Record<ImageUse, Readonly<Record<NamedImage['kind'], string>>>> = {
  disks: { disks: newVm, cdroms: '', floppies: '', boot: '' },
  start: {
    disks: newVm,
    cdroms: otherMedium('cdroms'),
    floppies: otherMedium('floppies'),
    boot: ', or name another with vm.edit({ boot })',
  },
  suspend: { disks: copyOut, cdroms: stopInstead, floppies: stopInstead, boot: stopInstead },
  resume: { disks: newVm, cdroms: otherMedium('cdroms'), floppies: otherMedium('floppies'), boot: dropMemory },
  snapshot: { disks: '', cdroms: '', floppies: '', boot: '' },
}

const isSame = (a: FileStamp | undefined, b: FileStamp): boolean =>
  a?.sizeBytes === b.sizeBytes && a.changedNs === b.changedNs

function writtenAnew(
  image: string,
  path: string,
  before: FileStamp | undefined,
  now: FileStamp,
  wayOut: string,
): InvalidArgumentError {
  const was = before === undefined ? 'nothing is remembered of it' : `the VM knows it with ${described(before)}`
  const isTouched = before?.sizeBytes === now.sizeBytes
  const touch = isTouched ? ` If its content is the same, give it its time back: touch -d ${timeOf(before)} FILE.` : ''
  return new InvalidArgumentError({
    path,
    reason: `${path} names ${image}, which was written anew: ${was}, and it has ${described(now)}`,
    hint: `Put the file back as it was${wayOut}.${touch}`,
  })
}

const described = (stamp: FileStamp): string => `${String(stamp.sizeBytes)} bytes, changed ${timeOf(stamp)}`

/** ISO 8601, with nanoseconds. */
function timeOf({ changedNs }: FileStamp): string {
  const ns = BigInt(changedNs)
  const milliseconds = new Date(Number(ns / 1_000_000n)).toISOString().slice(0, -1)
  return `${milliseconds}${String(ns % 1_000_000n).padStart(6, '0')}Z`
}
