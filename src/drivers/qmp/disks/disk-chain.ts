import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { DiskDefinition } from '../definition.js'

/** What QEMU is told of a device, or of a file that it opens. */
export type QemuOptions = Readonly<Record<string, unknown>>

/** A disk's own file, and what it only keeps the differences to: an image, or the name of a base beside it. */
export interface ImageFile {
  readonly path: string
  readonly backing?: { readonly path: string; readonly format: 'raw' | 'qcow2' } | undefined
}

export const readOnlyRaw = (filename: string): QemuOptions => ({
  driver: 'raw',
  'read-only': true,
  file: { driver: 'file', filename, 'read-only': true },
})

/**
 * What a disk's own file only keeps the differences to, down to the last: every file and its format is named, and nothing is
 * taken from a header.
 * @param folder where the bases are; QEMU itself runs there
 */
export function backingOf({ image, bases = [] }: DiskDefinition, folder = ''): QemuOptions | null {
  return bases.reduceRight<QemuOptions | null>(
    (backing, base) => ({
      driver: 'qcow2',
      'read-only': true,
      file: { driver: 'file', filename: join(folder, base), 'read-only': true },
      backing,
    }),
    image === undefined ? null : readOnlyRaw(image),
  )
}

/** A disk's file as it is made: its header names what is next below, for people and their tools. */
export function imageFileOf(folder: string, { file, image, bases = [] }: DiskDefinition): ImageFile {
  const path = join(folder, file)
  const [nearest] = bases
  if (nearest !== undefined) return { path, backing: { path: nearest, format: 'qcow2' } }
  return { path, ...(image !== undefined && { backing: { path: image, format: 'raw' as const } }) }
}

export const newDiskFile = (): string => `disk-${randomUUID()}.qcow2`
export const newBaseFile = (): string => `base-${randomUUID()}.qcow2`

/** The same disk in another file. */
export const withNewFile = (disk: DiskDefinition): DiskDefinition => ({ ...disk, file: newDiskFile() })
