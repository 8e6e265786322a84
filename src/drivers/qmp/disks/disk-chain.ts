import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { DiskDefinition } from '../definition.js'

/** QEMU's options for a device or a block device. */
export type QemuOptions = Readonly<Record<string, unknown>>

/** A disk's own file, and what it begins with: a backing file (an image, or the name of a base in the same folder), or a copy. */
export interface ImageFile {
  readonly path: string
  readonly backing?: { readonly path: string; readonly format: 'raw' | 'qcow2' } | undefined
  /** The raw file to copy. */
  readonly template?: string | undefined
}

export const readOnlyRaw = (filename: string): QemuOptions => ({
  driver: 'raw',
  'read-only': true,
  file: { driver: 'file', filename, 'read-only': true },
})

/**
 * The backing chain of a disk's own file. Every file and its format is given, so that QEMU takes nothing from a header.
 * @param folder the folder of the bases; empty for QEMU, which runs there
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

/** A disk's file for `qemu-img create`: its header names the next file of the chain, for people and their tools. */
export function imageFileOf(folder: string, { file, image, template, bases = [] }: DiskDefinition): ImageFile {
  const path = join(folder, file)
  const [nearest] = bases
  if (nearest !== undefined) return { path, backing: { path: nearest, format: 'qcow2' } }
  return { path, template, ...(image !== undefined && { backing: { path: image, format: 'raw' as const } }) }
}

export const newDiskFile = (): string => `disk-${randomUUID()}.qcow2`
export const newBaseFile = (): string => `base-${randomUUID()}.qcow2`

/** The same disk in another file, whose content is that of the present one. */
export const withNewFile = ({ template: _template, ...disk }: DiskDefinition): DiskDefinition => ({
  ...disk,
  file: newDiskFile(),
})
