import { join } from 'node:path'
import { diskBytes } from '../../../files/image-record.js'
import { allDisks, isBase, mapDisks, tagOf, type DiskDefinition, type SnapshotDefinition } from '../definition.js'
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
  const based = allDisks(hardware).filter(({ file }) => isBase(file))
  if (based.length === 0) return
  const tag = tagOf(snapshot)
  const taken = new Map<string, DiskDefinition>()
  for (const [index, disk] of based.entries()) {
    const own = withNewFile(disk)
    await images.copy({ folder: vm.folder, disk, known: hardware, tag }, imageFileOf(vm.folder, own, hardware), {
      signal: vm.signal,
      onProgress: (percent) => {
        onProgress((100 * index + percent) / based.length)
      },
    })
    const path = join(vm.folder, own.file)
    // The copy has the present size of the base's disk, which may have grown since the snapshot.
    await images.cut(path, diskBytes(disk, hardware))
    await images.createSnapshot(path, tag)
    taken.set(disk.file, own)
  }
  const outside = mapDisks(hardware, (disk) => taken.get(disk.file) ?? disk)
  const snapshots = vm.definition.snapshots.map((other) =>
    other.id === snapshot.id ? { ...other, hardware: outside } : other,
  )
  await vm.save({ ...vm.definition, snapshots })
}
