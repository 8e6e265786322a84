import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { isForeign } from '../../../images/foreign-disk.js'
import type { DiskDefinition, Hardware } from '../definition.js'

/** QEMU's options for a device or a block device. */
export type QemuOptions = Readonly<Record<string, unknown>>

/** A disk's own file, and what it begins with: a backing file (an image, or the name of a base in the same folder), or a copy. */
export interface ImageFile {
  readonly path: string
  readonly backing?: Backing | undefined
  /** The raw file to copy. */
  readonly template?: string | undefined
}

interface Backing {
  readonly path: string
  readonly format: 'raw' | 'qcow2'
}

/** What is known of the images of disks. */
export type KnownImages = Pick<Hardware, 'images'>

/** How QEMU reads and writes a file; by threads of its own if absent. */
export interface FileAccess {
  readonly aio?: 'io_uring'
}

export const readOnlyRaw = (filename: string, access?: FileAccess): QemuOptions => ({
  driver: 'raw',
  ...readOnly(filename, access),
})

/** A qcow2 file upon others; `null`: QEMU opens no other file, even if the header names one. */
const readOnlyQcow2 = (filename: string, backing: QemuOptions | null): QemuOptions => ({
  driver: 'qcow2',
  ...readOnly(filename),
  backing,
})

const readOnly = (filename: string, access?: FileAccess): QemuOptions => ({
  'read-only': true,
  file: { driver: 'file', filename, 'read-only': true, ...access },
})

/** The image that a disk is upon, with its format as found when the disk was made; none if an older awaitvm made a base of it. */
function imageUnder({ image }: DiskDefinition, { images }: KnownImages): Backing | undefined {
  if (image === undefined) return undefined
  const format = images[image]?.disk?.format ?? 'raw'
  return isForeign(format) ? undefined : { path: image, format }
}

/**
 * The backing chain of a disk's own file. Every file and its format is given, so that QEMU takes nothing from a header.
 * @param folder the folder of the bases; empty for QEMU, which runs there
 */
export function backingOf(disk: DiskDefinition, known: KnownImages, folder = ''): QemuOptions | null {
  const image = imageUnder(disk, known)
  const { bases = [] } = disk
  return bases.reduceRight<QemuOptions | null>(
    (backing, base) => readOnlyQcow2(join(folder, base), backing),
    image === undefined ? null : imageNode(image),
  )
}

const imageNode = ({ path, format }: Backing): QemuOptions =>
  format === 'raw' ? readOnlyRaw(path) : readOnlyQcow2(path, null)

/** A disk's file for `qemu-img create`: its header names the next file of the chain, for people and their tools. */
export function imageFileOf(folder: string, disk: DiskDefinition, known: KnownImages): ImageFile {
  const path = join(folder, disk.file)
  const { template, bases: [nearest] = [] } = disk
  if (nearest !== undefined) return { path, backing: { path: nearest, format: 'qcow2' } }
  return { path, template, backing: imageUnder(disk, known) }
}

export const newDiskFile = (): string => `disk-${randomUUID()}.qcow2`
export const newBaseFile = (): string => `base-${randomUUID()}.qcow2`

/** The same disk in another file, whose content is that of the present one. */
export const withNewFile = ({
  template: _template,
  formerFiles: _formerFiles,
  ...disk
}: DiskDefinition): DiskDefinition => ({
  ...disk,
  file: newDiskFile(),
})
