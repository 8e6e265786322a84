import { randomUUID } from 'node:crypto'
import { rm, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { InsufficientResourcesError } from '../../../errors.js'
import { freeBytes } from '../../../files/free-bytes.js'
import type { Memory } from '../definition.js'
import { readOnlyRaw, type FileAccess, type QemuOptions } from './disk-chain.js'
import type { DiskImages } from './disk-images.js'
import { writeEmptyOverlay } from './empty-overlay.js'
import type { QmpClient } from '../protocol/qmp-client.js'
import { QmpCommandError } from '../protocol/qmp-errors.js'
import { nativeError } from '../qemu-errors.js'
import { runJob } from '../protocol/qemu-job.js'

/** QEMU keeps memory behind the end of a disk. This is the size of that disk, which has no content. */
const diskMiB = 1
const node = 'memory'

export const newMemoryFile = (): string => `memory-${randomUUID()}.qcow2`

export interface MemorySave {
  /** The folder of the VM, in which its QEMU runs. */
  readonly folder: string
  readonly file: string
  readonly tag: string
  /** The nodes of the disks that get a snapshot of the same name. */
  readonly disks: readonly string[]
  /** The folder of the file; that of the VM if absent. */
  readonly place?: string | undefined
}

/**
 * Saves a VM's memory in a file of its own, together with a snapshot in each of the disks. The guest and QEMU's monitor stand still
 * during the save.
 */
export async function saveMemory(
  client: QmpClient,
  images: DiskImages,
  { folder, file, tag, disks, place = folder }: MemorySave,
): Promise<void> {
  const path = join(place, file)
  await images.create({ path }, diskMiB)
  try {
    const image = (access: FileAccess): QemuOptions => ({ driver: 'file', filename: relative(folder, path), ...access })
    await withNode(client, image, async () => {
      const args = { tag, vmstate: node, devices: [node, ...disks] }
      await runJob(client, { id: 'save', command: 'snapshot-save', args, isBlocking: true })
    })
  } catch (error) {
    const isFull = await hasNoRoom(place)
    // An incomplete file is useless.
    await rm(path, { force: true })
    throw isFull && error instanceof QmpCommandError ? noRoom(place, error) : error
  }
}

/** A file system with less free space counts as full. */
const fullBytes = 2 ** 20

async function hasNoRoom(folder: string): Promise<boolean> {
  return (await freeBytes(folder)) < fullBytes
}

/** Error for a full disk, for which QEMU only reports some error. */
const noRoom = (folder: string, cause: QmpCommandError): InsufficientResourcesError =>
  new InsufficientResourcesError({
    reason: `there is no room for the memory in ${folder}`,
    hint: 'Make room on the disk, and try again.',
    cause,
    native: nativeError(cause),
  })

/** More than QEMU adds to the file when it loads memory. */
const spareBytes = 64 * 2 ** 20

/**
 * Loads saved memory into a QEMU whose guest has not run yet. The file is not written to, since snapshots and clones share it: what
 * QEMU notes in it goes into an overlay, which is removed afterwards.
 */
export async function loadMemory(client: QmpClient, folder: string, { file, tag }: Memory): Promise<void> {
  const overlay = newMemoryFile()
  const path = join(folder, overlay)
  const { size } = await stat(join(folder, file))
  await writeEmptyOverlay(path, size + spareBytes)
  try {
    const image = (access: FileAccess): QemuOptions => ({
      driver: 'qcow2',
      file: { driver: 'file', filename: overlay, ...access },
      backing: readOnlyRaw(file, access),
    })
    await withNode(client, image, async () => {
      const args = { tag, vmstate: node, devices: [node] }
      await runJob(client, { id: 'load', command: 'snapshot-load', args, isBlocking: true })
    })
  } finally {
    await rm(path)
  }
}

async function withNode(
  client: QmpClient,
  image: (access: FileAccess) => QemuOptions,
  action: () => Promise<void>,
): Promise<void> {
  await addNode(client, image)
  try {
    await action()
  } finally {
    await client.execute('blockdev-del', { 'node-name': node })
  }
}

/**
 * QEMU moves memory in pieces of 32 KiB. By default, a thread does each of them while all else waits for it: measured with 108 MB,
 * io_uring takes three quarters of the processor time, and much less on a busy machine.
 */
async function addNode(client: QmpClient, image: (access: FileAccess) => QemuOptions): Promise<void> {
  const add = (access: FileAccess): Promise<unknown> =>
    client.execute('blockdev-add', { driver: 'qcow2', 'node-name': node, backing: null, file: image(access) })
  try {
    await add({ aio: 'io_uring' })
  } catch (error) {
    if (!(error instanceof QmpCommandError)) throw error
    // Many containers forbid it, and some builds of QEMU lack it. An error that has another cause comes again.
    await add({})
  }
}
