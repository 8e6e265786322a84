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

/** QEMU keeps memory behind the end of a disk: this is the size of that disk, which nobody uses. */
const diskMiB = 1
const node = 'memory'

export const newMemoryFile = (): string => `memory-${randomUUID()}.qcow2`

/**
 * Saves a VM's memory in a file of its own, and with it what the disks hold, in themselves. The guest stands still meanwhile,
 * and so does QEMU's monitor; then it goes on as before.
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
    // What there is of it is of no use to anybody.
    await rm(join(folder, file), { force: true })
    throw isFull && error instanceof QmpCommandError ? noRoom(folder, error) : error
  }
}

/** A disk with less room than a few clusters is full. */
const fullBytes = 2 ** 20

async function hasNoRoom(folder: string): Promise<boolean> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize < fullBytes
}

/** Of a full disk, QEMU only tells that there was an error. */
const noRoom = (folder: string, cause: QmpCommandError): InsufficientResourcesError =>
  new InsufficientResourcesError({
    reason: `there is no room for the memory in ${folder}`,
    hint: 'Make room on the disk, and try again.',
    cause,
    native: nativeError(cause),
  })

/** Loads the memory into a QEMU that has not run its guest yet. */
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
