import { InvalidArgumentError } from '../errors.js'
import type { DiskConfig, DiskSpec } from '../model/vm-config.js'
import type { VmChanges } from '../model/vm-spec.js'

/**
 * The disks that an edit leads to, in their order. Those that are there are kept by their ids, larger where that is asked for,
 * and others are made. Throws where the edit would lose what is on a disk that it does not name.
 */
export function keepDisks<D extends DiskConfig>(
  { disks, deleteDisks = [] }: Pick<VmChanges, 'disks' | 'deleteDisks'>,
  present: readonly D[],
  make: (disk: DiskSpec) => D,
): readonly D[] {
  for (const [index, id] of deleteDisks.entries()) findDisk(present, id, `changes.deleteDisks[${String(index)}]`)
  const left = present.filter(({ id }) => !deleteDisks.includes(id))
  if (disks === undefined) return deleteDisks.length === 0 ? present : left
  const wanted = disks.map((disk, index) => {
    const path = `changes.disks[${String(index)}]`
    return disk.id === undefined ? make(disk) : keep(findDisk(present, disk.id, `${path}.id`), disk, path)
  })
  const forgotten = left.find(({ id }) => !disks.some((disk) => disk.id === id))
  if (forgotten !== undefined) throw leftOut(forgotten)
  return wanted
}

function findDisk<D extends DiskConfig>(present: readonly D[], id: string, path: string): D {
  const found = present.find((disk) => disk.id === id)
  if (found !== undefined) return found
  throw new InvalidArgumentError({
    path,
    reason: `${path} is ${JSON.stringify(id)}, and the VM has no disk of that id`,
    hint: 'vm.refresh() tells which disks it has; a disk that is to be made has no id.',
  })
}

function keep<D extends DiskConfig>(disk: D, { image, sizeMiB }: Omit<DiskConfig, 'id'>, path: string): D {
  if (image !== undefined && image !== disk.image) {
    const has = disk.image === undefined ? 'which was made blank' : `which was made of ${disk.image}`
    throw new InvalidArgumentError({
      path: `${path}.image`,
      reason: `${path}.image is ${image}, and the image of the disk ${disk.id}, ${has}, can't be changed`,
      hint: 'Leave the image out; or leave the id out for a new disk, and delete the old one with deleteDisks.',
    })
  }
  if (sizeMiB === undefined || sizeMiB === disk.sizeMiB) return disk
  if (disk.sizeMiB !== undefined && sizeMiB < disk.sizeMiB) {
    throw new InvalidArgumentError({
      path: `${path}.sizeMiB`,
      reason: `${path}.sizeMiB is ${String(sizeMiB)}, and the disk ${disk.id} has ${String(disk.sizeMiB)}: a disk never shrinks`,
      hint: 'Copy its content to a new, smaller disk in the guest, and then delete it with deleteDisks.',
    })
  }
  return { ...disk, sizeMiB }
}

function leftOut({ id, image, sizeMiB }: DiskConfig): InvalidArgumentError {
  const size = sizeMiB === undefined ? '' : ` of ${String(sizeMiB)} MiB`
  const origin = image === undefined ? '' : ` made of ${image}`
  return new InvalidArgumentError({
    path: 'changes.disks',
    reason: `changes.disks leaves out the disk ${JSON.stringify(id)}${size}${origin}, and its content would be lost`,
    hint: `Keep it with [...vm.config.disks], or delete it with deleteDisks: [${JSON.stringify(id)}].`,
  })
}
