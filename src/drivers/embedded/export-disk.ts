import type { FileHandle } from 'node:fs/promises'
import { setImmediate as turn } from 'node:timers/promises'
import { requireDisk } from '../../driver/disk-list.js'
import type { DriverInputs } from '../../driver/driver.js'
import type { Task } from '../../driver/task.js'
import { diskBytes, requireImages } from '../../files/image-record.js'
import { writeNewFile } from '../../files/new-file.js'
import { writeAll } from '../../files/write-all.js'
import type { Definition, DiskDefinition } from './definition.js'
import type { EmbeddedClaims } from './embedded-claims.js'
import type { EmbeddedStore } from './embedded-store.js'
import type { LiveVm } from './live-vm.js'
import { Disk } from './machine/disk.js'
import type { DiskOverlaySpec } from './machine/protocol.js'
import { wasUsed } from './overlay-files.js'

/** What is read and written at once, and the smallest hole in the file. */
const pieceBytes = 2 ** 20
const zeros = Buffer.alloc(pieceBytes)

interface Parts {
  readonly store: EmbeddedStore
  readonly claims: EmbeddedClaims
  /** Aborted when the connection is closed. */
  readonly closing: AbortSignal
}

type ExportInput = Pick<DriverInputs['vm.exportDisk'], 'disk' | 'path'>

/** Writes the content of a disk to a raw file, while the guest stands still. */
export async function exportDisk(
  { store, claims, closing }: Parts,
  definition: Definition,
  live: LiveVm | undefined,
  input: ExportInput,
  task: Task,
): Promise<void> {
  const { id, hardware } = definition
  const disk = requireDisk(hardware.disks, input.disk)
  store.requireFiles(id, { hardware }, 'rest')
  await requireImages(hardware, 'disks', 'embedded')
  const write = (): Promise<void> =>
    writeNewFile(input.path, 'embedded', async ({ file }) => {
      const opened = Disk.open({
        base: disk.image,
        sizeBytes: diskBytes(disk, hardware),
        overlay: await overlayOf(store, definition, disk, live),
      })
      try {
        await writeDisk(opened, file, task, closing)
      } finally {
        opened.close()
      }
    })
  await (live === undefined ? claims.withLease(definition, write) : live.whileStill(live.state === 'running', write))
}

/** What the guest has written. That of a machine may be in its memory only. */
async function overlayOf(
  store: EmbeddedStore,
  { id, hardware }: Definition,
  disk: DiskDefinition,
  live: LiveVm | undefined,
): Promise<DiskOverlaySpec> {
  const overlay = await store.overlay(id, disk.overlay)
  // A new map would be made for a disk without one.
  if (overlay.kind === 'file') return wasUsed(overlay.path) ? overlay : { kind: 'memory' }
  if (live === undefined) return overlay
  return { kind: 'memory', content: await live.machine.exportDisk(hardware.disks.indexOf(disk)) }
}

async function writeDisk(disk: Disk, file: FileHandle, task: Task, closing: AbortSignal): Promise<void> {
  const total = disk.byteLength
  await file.truncate(total)
  for (let done = 0; done < total; done += pieceBytes) {
    task.signal.throwIfAborted()
    closing.throwIfAborted()
    const piece = disk.read(done, Math.min(pieceBytes, total - done))
    if (!zeros.subarray(0, piece.byteLength).equals(piece)) await writeAll(file, piece, done)
    task.progress({ phase: 'writing the file', done: done + piece.byteLength, total, unit: 'bytes' })
    await turn()
  }
  task.signal.throwIfAborted()
}
