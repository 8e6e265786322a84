import { inspect, isDeepStrictEqual } from 'node:util'
import { InvalidArgumentError } from '../errors.js'
import type { Complete } from '../model/schema.js'
import type { DiskConfig, DiskSpec } from '../model/vm-config.js'
import type { VmChanges } from '../model/vm-spec.js'
import { keepAdapters } from '../network/kept-adapter.js'
import type { KeptHardware } from './kept-definition.js'

type Settings<D extends DiskConfig> = Omit<KeptHardware<D>, 'images'>

/** The hardware of a new VM before its spec is applied. */
export const noHardware = { cpus: 1, disks: [], cdroms: [], floppies: [], boot: {}, networkAdapters: [] } as const

/** Applies a spec or an edit to hardware. A setting that it does not name stays as it is. */
export const keepHardware = <D extends DiskConfig>(
  changes: VmChanges,
  present: Settings<D>,
  makeDisk: (disk: DiskSpec) => D,
) =>
  ({
    cpus: changes.cpus ?? present.cpus,
    memoryMiB: changes.memoryMiB ?? present.memoryMiB,
    disks: keepDisks(changes, present.disks, makeDisk),
    cdroms: changes.cdroms ?? present.cdroms,
    floppies: changes.floppies ?? present.floppies,
    boot: changes.boot ?? present.boot,
    networkAdapters:
      changes.networkAdapters === undefined
        ? present.networkAdapters
        : keepAdapters(changes.networkAdapters, present.networkAdapters),
  }) satisfies Complete<Settings<D>>

/**
 * Applies an edit to disks, and returns them in their new order. A disk with an id is kept, and grows if asked; one without is
 * new. Throws if the edit would drop a disk that it does not name.
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
    reason: `${path} is ${JSON.stringify(id)}, and the VM has no disk with that id`,
    hint: 'vm.refresh() lists its disks; leave the id out for a new disk.',
  })
}

function keep<D extends DiskConfig>(
  disk: D,
  { id: _id, sizeMiB, bus, ...fixed }: DiskSpec | DiskConfig,
  path: string,
): D {
  const present = new Map<string, unknown>(Object.entries(disk))
  for (const [setting, value] of Object.entries(fixed)) {
    if (value === undefined || isDeepStrictEqual(value, present.get(setting))) continue
    throw isFixed(disk, setting, value, path)
  }
  const moved = bus === undefined || bus === disk.bus ? disk : { ...disk, bus }
  if (sizeMiB === undefined || sizeMiB === disk.sizeMiB) return moved
  if (disk.sizeMiB !== undefined && sizeMiB < disk.sizeMiB) {
    throw new InvalidArgumentError({
      path: `${path}.sizeMiB`,
      reason: `${path}.sizeMiB is ${String(sizeMiB)}, and the disk ${disk.id} has ${String(disk.sizeMiB)}: a disk never shrinks`,
      hint: 'Copy its content to a new, smaller disk in the guest, and then delete it with deleteDisks.',
    })
  }
  return { ...moved, sizeMiB }
}

function isFixed({ id, image }: DiskConfig, setting: string, value: unknown, path: string): InvalidArgumentError {
  const origin = image === undefined ? 'which was made blank' : `which was made of ${image}`
  return new InvalidArgumentError({
    path: `${path}.${setting}`,
    reason: `${path}.${setting} is ${inspect(value)}, and the ${setting} of the disk ${id}, ${origin}, can't be changed`,
    hint: `Leave the ${setting} out; or leave the id out for a new disk, and delete the old one with deleteDisks.`,
  })
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
