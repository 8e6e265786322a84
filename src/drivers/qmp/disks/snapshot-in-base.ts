import { join } from 'node:path'
import { diskBytes } from '../../../files/image-record.js'
import { isBase, tagOf, type DiskDefinition, type SnapshotDefinition } from '../definition.js'
import { imageFileOf, withNewFile } from './disk-chain.js'
import type { DiskImages } from './disk-images.js'
import type { HeldVm } from '../held-vm.js'

/**
 * Moves a snapshot out of a file that became a base, since a base is never written to: its content is copied into a file of the
 * VM's own. The VM itself may run.
 */
export async function takeOutOfBases(
  images: DiskImages,
  vm: HeldVm,
  snapshot: SnapshotDefinition,
  onProgress: (percent: number) => void,
): Promise<void> {
  const { hardware } = snapshot
  if (!hardware.disks.some(({ file }) => isBase(file))) return
  const tag = tagOf(snapshot)
  const disks: DiskDefinition[] = []
  for (const [index, disk] of hardware.disks.entries()) {
    if (!isBase(disk.file)) {
      disks.push(disk)
      continue
    }
    const own = withNewFile(disk)
    await images.copy({ folder: vm.folder, disk, tag }, imageFileOf(vm.folder, own), {
      signal: vm.signal,
      onProgress: (percent) => {
        onProgress((100 * index + percent) / hardware.disks.length)
      },
    })
    const path = join(vm.folder, own.file)
    // The copy has the present size of the base's disk, which may have grown since the snapshot.
    await images.cut(path, diskBytes(disk, hardware))
    await images.createSnapshot(path, tag)
    disks.push(own)
  }
  const snapshots = vm.definition.snapshots.map((other) =>
    other.id === snapshot.id ? { ...other, hardware: { ...hardware, disks } } : other,
  )
  await vm.save({ ...vm.definition, snapshots })
}
