import * as v from 'valibot'
import {
  keptDisk,
  keptHardware,
  keptMemory,
  keptSnapshot,
  keptSnapshots,
  keptVm,
  type Frozen,
} from '../../registry/kept-definition.js'
import { accelerators } from './process/accelerator.js'
import { layoutSchema } from './process/layout.js'

const text = v.string()
const optionalText = v.optional(text)
/** Names of the VM's own files: never a path. */
const fileName = (pattern: RegExp): v.GenericSchema<string> => v.pipe(text, v.regex(pattern))
const diskFile = fileName(/^disk-[0-9a-f-]{36}\.qcow2$/)
const baseFile = fileName(/^base-[0-9a-f-]{36}\.qcow2$/)

/** Each file that a disk is made of is opened with it, and is looked through for what those above do not have. */
export const maxBases = 64

const ownDisk = {
  ...keptDisk,
  /** What the file only keeps the differences to, nearest first: `base-` files, which nobody writes to any more. */
  bases: v.optional(v.pipe(v.array(baseFile), v.maxLength(maxBases))),
  /** The PCI slot of a virtio disk that had a QEMU while it was edited; others get theirs in turn. */
  slot: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(31))),
}
/** A drive without an image is empty: QEMU keeps it as long as memory is saved that knows it. */
const drives = v.array(v.strictObject({ image: optionalText }))
const ownHardware = {
  ...keptHardware,
  cdroms: drives,
  floppies: drives,
  /** QEMU's name for the machine, which stays the same over its versions. */
  machine: v.pipe(text, v.regex(/^[\w.+-]+$/)),
}
const hardwareSchema = v.strictObject({
  ...ownHardware,
  disks: v.array(v.strictObject({ ...ownDisk, file: diskFile })),
})
/** A snapshot's disks may have become bases since. */
const snapshotHardwareSchema = v.strictObject({
  ...ownHardware,
  disks: v.array(v.strictObject({ ...ownDisk, file: v.union([diskFile, baseFile]) })),
})
const memorySchema = v.strictObject({
  ...keptMemory,
  file: fileName(/^memory-[0-9a-f-]{36}\.qcow2$/),
  /** The tag that QEMU saved it under. */
  tag: text,
  /** What ran it: another accelerator can't be relied on to go on with it. */
  accelerator: v.picklist(accelerators),
  /** What it fits, beside the hardware. */
  layout: v.optional(layoutSchema),
})

export const definitionSchema = v.strictObject({
  ...keptVm,
  hardware: hardwareSchema,
  memory: v.optional(memorySchema),
  snapshots: keptSnapshots(
    v.strictObject({ ...keptSnapshot, hardware: snapshotHardwareSchema, memory: v.optional(memorySchema) }),
  ),
  /** Files of disks that an edit takes away, until the rest of it is done: with them it can be undone. */
  leavingFiles: v.optional(v.array(diskFile)),
  /** The snapshot that the disks are being taken back to: until that is done, they are neither here nor there. */
  switchingTo: optionalText,
  /** The directory that it is being moved to: once it is there, this is not the VM any more. */
  movingTo: optionalText,
  /** The folder that it was moved from, until that has gone. */
  movedFrom: optionalText,
})

export type Definition = Frozen<v.InferOutput<typeof definitionSchema>>
export type Hardware = Definition['hardware']
export type Memory = NonNullable<Definition['memory']>
export type SnapshotDefinition = Definition['snapshots'][number]
export type DiskDefinition = Hardware['disks'][number]

/** Whether a disk's file is a base, which other VMs may have, too: it is never written to. */
export const isBase = (file: string): boolean => file.startsWith('base-')

/** The tag of a snapshot in the VM's disks: begins with a letter, since a number may be taken for QEMU's own id. */
export const tagOf = ({ id }: Pick<SnapshotDefinition, 'id'>): string => `s-${id}`

/** Every file that the definition speaks of; others in the VM's folder are left over from something that did not end. */
export function filesOf({ hardware, memory, leavingFiles, snapshots }: Definition): Set<string> {
  const files = new Set(leavingFiles)
  for (const part of [{ hardware, memory }, ...snapshots]) {
    for (const { file, bases = [] } of part.hardware.disks) for (const name of [file, ...bases]) files.add(name)
    if (part.memory !== undefined) files.add(part.memory.file)
  }
  return files
}
