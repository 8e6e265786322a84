import { randomBytes, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { hostnameIn } from '../../../cloud-init/hostname.js'
import { seedImage } from '../../../cloud-init/seed.js'
import type { Task } from '../../../driver/task.js'
import { InvalidArgumentError, NotSupportedError } from '../../../errors.js'
import { requireRoom } from '../../../files/check-drives.js'
import { checkFile } from '../../../files/check-file.js'
import { readDiskImage } from '../../../images/disk-image.js'
import type { CloudInit, CloudInitConfig } from '../../../model/cloud-init.js'
import type { DiskSpec } from '../../../model/vm-config.js'
import type { NewDisk } from '../domain/new-domain.js'
import type { DiskOrigin } from '../domain/own-metadata.js'
import type { NewVolume, Volumes } from './volumes.js'

/** A file of a VM that is to be made, and what it is filled with. */
export interface NewFile extends NewVolume {
  readonly content?:
    { readonly bytes: number; readonly open: () => Readable; readonly changed: () => Error } | undefined
  /** The size that it is given once it is filled. */
  readonly grownBytes?: number | undefined
}

/** A disk that is to be made. */
export interface PlannedDisk extends Pick<NewDisk, 'id' | 'bus' | 'format'> {
  readonly origin: DiskOrigin
  readonly file: NewFile
}

/** A seed for cloud-init that is to be made. */
export interface PlannedSeed {
  readonly config: CloudInitConfig
  readonly file: NewFile
}

const mebibyte = 2 ** 20

/** How the names of all volumes of a VM begin: what else is in a pool is not awaitvm's, and is never deleted. */
export const prefixOf = (vm: string): string => `awaitvm-${vm}-`

/**
 * Plans a disk of a VM. Throws if its image can't be used.
 *
 * @param path the parameter with the disk, for errors: `spec.disks[0]`
 */
export async function planDisk(
  vm: string,
  { image, sizeMiB, bus = 'virtio' }: DiskSpec,
  path: string,
): Promise<PlannedDisk> {
  const id = `disk-${randomBytes(4).toString('hex')}`
  const name = (format: string): string => `${prefixOf(vm)}${id}.${format}`
  if (image === undefined) {
    const bytes = (sizeMiB ?? 1) * mebibyte
    return { id, bus, format: 'qcow2', origin: { sizeMiB }, file: { name: name('qcow2'), format: 'qcow2', bytes } }
  }
  const { sizeBytes } = await checkFile(image, `${path}.image`, 'libvirt')
  const { format, diskBytes } = await readDiskImage(image, `${path}.image`)
  if (format !== 'raw' && format !== 'qcow2') throw foreign(image, format, `${path}.image`)
  requireRoom(sizeMiB, diskBytes, `${path}.sizeMiB`)
  const wantedBytes = Math.max(diskBytes, (sizeMiB ?? 0) * mebibyte)
  const content = {
    bytes: sizeBytes,
    open: () => createReadStream(image, { end: sizeBytes - 1 }),
    changed: () => shrunk(image, `${path}.image`),
  }
  const file: NewFile =
    format === 'raw'
      ? { name: name(format), format, bytes: wantedBytes, content }
      : {
          name: name(format),
          format,
          bytes: diskBytes,
          content,
          ...(wantedBytes > diskBytes && { grownBytes: wantedBytes }),
        }
  return { id, bus, format, file, origin: { image, sizeMiB: sizeMiB ?? Math.ceil(diskBytes / mebibyte) } }
}

const foreign = (image: string, format: string, path: string): NotSupportedError =>
  new NotSupportedError({
    capability: 'spec.disks.image',
    path,
    reason: `${path} names ${image}, a ${format} image, and this driver copies raw and qcow2 ones`,
    hint: `Convert it first: qemu-img convert -f ${format} -O qcow2 ${image} NEW.qcow2.`,
  })

const shrunk = (image: string, path: string): InvalidArgumentError =>
  new InvalidArgumentError({
    path,
    reason: `${path} names ${image}, which became shorter while it was copied`,
    hint: 'Try again when nothing writes to it any more.',
  })

/**
 * Plans the seed of a VM.
 *
 * @param path the parameter with the settings, for errors
 */
export function planSeed(vm: string, settings: CloudInit, vmName: string, path: string): PlannedSeed {
  const config = { hostname: hostnameIn(settings, vmName), instanceId: randomUUID() }
  const image = seedImage(settings, config, undefined, path)
  const content = { bytes: image.length, open: () => Readable.from([image]), changed: () => new TypeError('never') }
  return {
    config,
    file: { name: `${prefixOf(vm)}seed-${config.instanceId}.iso`, format: 'raw', bytes: image.length, content },
  }
}

/** Makes files, in order; answers their paths. */
export async function makeFiles(
  volumes: Volumes,
  files: readonly NewFile[],
  { task, signal }: { readonly task: Pick<Task, 'progress'>; readonly signal: AbortSignal },
): Promise<string[]> {
  if (files.length === 0) return []
  const pool = await volumes.choosePool()
  const total = files.reduce((sum, { content }) => sum + (content?.bytes ?? 0), 0)
  let done = 0
  const paths: string[] = []
  for (const { content, grownBytes, ...wanted } of files) {
    signal.throwIfAborted()
    const { volume, path } = await volumes.make(pool, wanted)
    if (content !== undefined) {
      const counted = async function* (): AsyncGenerator<Buffer> {
        let bytes = 0
        for await (const piece of content.open() as AsyncIterable<Buffer>) {
          bytes += piece.length
          done += piece.length
          task.progress({ phase: 'copying images', done, total, unit: 'bytes' })
          yield piece
        }
        if (bytes < content.bytes) throw content.changed()
      }
      await volumes.fill(volume, Readable.from(counted()), content.bytes, signal)
    }
    if (grownBytes !== undefined) await volumes.grow(path, grownBytes)
    paths.push(path)
  }
  return paths
}
