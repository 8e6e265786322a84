import { requireImages } from '../../../files/image-record.js'
import type { MediaConfig } from '../../../model/vm-config.js'
import { driveDevice } from '../disks/disk-devices.js'
import type { DiskDefinition } from '../definition.js'
import type { HeldVm } from '../held-vm.js'
import { requireLive } from './live-limits.js'
import {
  closeDisk,
  differences,
  growLive,
  openDisk,
  plugDisk,
  readSlots,
  unplugDisk,
  withSlots,
} from '../disks/plugged-disks.js'
import type { QmpClient } from '../protocol/qmp-client.js'
import { changeMedium, namedMedium } from '../disks/removable-medium.js'
import type { RunRecord } from '../process/run-record.js'
import { diskChanges, filesBeyond, type HardwareEdit } from './hardware-edit.js'
import { UndoStack } from './undo-stack.js'

const mebibyte = 2 ** 20

/** Changes the hardware of a running VM, completely or not at all. */
export async function editLive(vm: HeldVm, run: RunRecord, edit: HardwareEdit): Promise<void> {
  requireLive(edit.before, edit.wanted, run, vm.state)
  vm.signal.throwIfAborted()
  await vm.withMonitor(async (client) => {
    const undo = new UndoStack()
    try {
      await perform(client, edit, undo)
    } catch (error) {
      await undo.takeBack()
      throw error
    }
  })
}

/**
 * Steps that the guest may refuse come first. Disks are plugged late, since unplugging them again needs the guest, and grow last,
 * since the guest may use the new space at once, so that growth can't be undone. Both follow the save, so that `settle` can finish
 * them after a crash.
 */
async function perform(client: QmpClient, edit: HardwareEdit, undo: UndoStack): Promise<void> {
  const { before } = edit
  const slots = await readSlots(client)
  const present = withSlots(slots, before, before)
  const hardware = withSlots(slots, before, edit.wanted)
  const { added, removed, grown } = diskChanges(present, hardware)
  const { missing } = differences(slots, hardware)

  undo.add(() => edit.removeFiles(filesBeyond(before, hardware)))
  await edit.makeDisks(added)
  for (const disk of removed) {
    await undo.step(
      () => unplugDisk(client, disk),
      () => plugDisk(client, disk, hardware.machine),
    )
  }
  const spent = [
    ...(await changeMedia(client, 'cdrom', before.cdroms, hardware.cdroms, undo)),
    ...(await changeMedia(client, 'floppy', before.floppies, hardware.floppies, undo)),
  ]
  if (hardware.memoryMiB !== before.memoryMiB) {
    await undo.step(
      () => resize(client, hardware.memoryMiB),
      () => resize(client, before.memoryMiB),
    )
  }
  for (const disk of added) {
    await undo.step(
      () => openDisk(client, disk, hardware),
      () => closeDisk(client, disk),
    )
  }
  const stayGrown: DiskDefinition[] = []
  await undo.step(
    () => edit.save(hardware, filesBeyond(hardware, before)),
    () => edit.unsave(stayGrown),
  )
  await requireImages({ ...hardware, disks: added }, 'disks', 'qmp')
  for (const disk of missing) {
    await undo.step(
      () => plugDisk(client, disk, hardware.machine),
      () => unplugDisk(client, disk),
    )
  }
  for (const disk of grown) {
    await growLive(client, disk)
    stayGrown.push(disk)
  }
  if (removed.length > 0) await edit.save(hardware)
  await closed(removed.map((disk) => closeDisk(client, disk)))
  await closed(spent.map((node) => client.execute('blockdev-del', { 'node-name': node })))
}

/** Sets the size of the balloon. The guest follows in its own time, if it has a driver for it. */
async function resize(client: QmpClient, memoryMiB: number): Promise<void> {
  await client.execute('balloon', { value: memoryMiB * mebibyte })
}

/** Returns the nodes of former media, which are not in use any more. */
async function changeMedia(
  client: QmpClient,
  kind: 'cdrom' | 'floppy',
  before: readonly MediaConfig[],
  wanted: readonly MediaConfig[],
  undo: UndoStack,
): Promise<string[]> {
  const spent: string[] = []
  for (const [index, { image }] of wanted.entries()) {
    const former = before[index]?.image
    if (former === image) continue
    const drive = driveDevice(kind, index)
    const node = await namedMedium(client, drive)
    await undo.step(
      () => changeMedium(client, drive, image),
      () => changeMedium(client, drive, former),
    )
    if (node !== undefined) spent.push(node)
  }
  return spent
}

/** The edit is complete, so that a file that can't be closed is only worth a warning. */
async function closed(closing: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(closing)) {
    if (result.status === 'fulfilled') continue
    process.emitWarning(`QEMU keeps a file open: ${String(result.reason)}`, 'AwaitvmWarning')
  }
}
