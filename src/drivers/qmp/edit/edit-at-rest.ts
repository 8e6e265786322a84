import { join } from 'node:path'
import { diskBytes, requireImages } from '../../../files/image-record.js'
import type { DiskImages } from '../disks/disk-images.js'
import { requireVmFiles } from '../disks/required-parts.js'
import { withoutSlots } from '../disks/plugged-disks.js'
import type { HeldVm } from '../held-vm.js'
import { diskChanges, filesBeyond, type HardwareEdit } from './hardware-edit.js'
import { UndoStack } from './undo-stack.js'

/**
 * Changes the hardware of a VM at rest, completely or not at all. The definition is saved before disks grow, so that `settle` can
 * grow them after a crash. Images of new disks are looked for once more then: from the save on, nobody removes them.
 */
export async function editAtRest(images: DiskImages, vm: HeldVm, edit: HardwareEdit): Promise<void> {
  const { before } = edit
  const hardware = withoutSlots(edit.wanted)
  const { added, grown } = diskChanges(before, hardware)
  const leaving = filesBeyond(hardware, before)
  requireVmFiles(
    vm.folder,
    { hardware: { ...before, disks: grown, flash: undefined, seed: undefined, tpm: undefined } },
    'rest',
  )
  const undo = new UndoStack()
  try {
    undo.add(() => edit.removeFiles(filesBeyond(before, hardware)))
    await edit.makeDisks(added)
    await edit.writeFiles()
    await undo.step(
      () => edit.save(hardware, leaving),
      () => edit.unsave([]),
    )
    await requireImages({ ...hardware, disks: added }, 'disks', 'qmp')
    for (const { id, file, sizeMiB } of grown) {
      const path = join(vm.folder, file)
      const former = before.disks.find((disk) => disk.id === id)
      if (former === undefined || sizeMiB === undefined) continue
      const bytes = diskBytes(former, before)
      await undo.step(
        () => images.grow(path, sizeMiB),
        () => images.cut(path, bytes),
      )
    }
    if (leaving.length > 0) await edit.save(hardware)
  } catch (error) {
    await undo.takeBack()
    throw error
  }
}
