import { randomUUID } from 'node:crypto'
import { rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { InsufficientResourcesError } from '../../../errors.js'
import type { Memory } from '../definition.js'
import type { DiskImages } from './disk-images.js'
import type { QmpClient } from '../protocol/qmp-client.js'
import { QmpCommandError } from '../protocol/qmp-errors.js'
import { nativeError } from '../qemu-errors.js'
import { runJob } from '../protocol/qemu-job.js'

/** QEMU keeps memory behind the end of a disk. This is the size of that disk, which has no content. */
const diskMiB = 1
const node = 'memory'

export const newMemoryFile = (): string => `memory-${randomUUID()}.qcow2`

/**
 * Saves a VM's memory in a file of its own, together with a snapshot in each of the disks. The guest and QEMU's monitor stand still
 * during the save.
 */
export async function saveMemory(
  client: QmpClient,
  images: DiskImages,
  { folder, file, tag, disks }: { folder: string; file: string; tag: string; disks: readonly string[] },
): Promise<void> {
  await images.create({ path: join(folder, file) }, diskMiB)
  try {
    await withNode(client, file, async () => {
      const args = { tag, vmstate: node, devices: [node, ...disks] }
      await runJob(client, { id: 'save', command: 'snapshot-save', args, isBlocking: true })
    })
  } catch (error) {
    const isFull = await hasNoRoom(folder)
    // An incomplete file is useless.
    await rm(join(folder, file), { force: true })
    throw isFull && error instanceof QmpCommandError ? noRoom(folder, error) : error
  }
}

/** A file system with less free space counts as full. */
const fullBytes = 2 ** 20

async function hasNoRoom(folder: string): Promise<boolean> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize < fullBytes
}

/** Error for a full disk, for which QEMU only reports some error. */
const noRoom = (folder: string, cause: QmpCommandError): InsufficientResourcesError =>
  new InsufficientResourcesError({
    reason: `there is no room for the memory in ${folder}`,
    hint: 'Make room on the disk, and try again.',
    cause,
    native: nativeError(cause),
  })

/** Loads saved memory into a QEMU whose guest has not run yet. */
export async function loadMemory(client: QmpClient, { file, tag }: Memory): Promise<void> {
  await withNode(client, file, async () => {
    const args = { tag, vmstate: node, devices: [node] }
    await runJob(client, { id: 'load', command: 'snapshot-load', args, isBlocking: true })
  })
}

async function withNode(client: QmpClient, filename: string, action: () => Promise<void>): Promise<void> {
  await client.execute('blockdev-add', {
    driver: 'qcow2',
    'node-name': node,
    backing: null,
    file: { driver: 'file', filename },
  })
  try {
    await action()
  } finally {
    await client.execute('blockdev-del', { 'node-name': node })
  }
}
