import * as v from 'valibot'
import { imageRecordSchema } from '../../files/image-record.js'
import { hostAddressSchema, macAddressSchema, portSchema } from '../../model/network-adapter.js'
import type { VmConfig } from '../../model/vm-config.js'
import { shownAdapters } from '../../network/kept-adapter.js'
import { isTree, keptConfig } from '../../registry/kept-vm.js'
import { accelerators } from './process/accelerator.js'
import { layoutSchema } from './process/layout.js'

/**
 * How a VM is written down: everything that belongs to it is named here, so that replacing this is one step for all. What is not
 * known is refused: a newer awaitvm has written it, and a change would take it away.
 */
const text = v.string()
const optionalText = v.optional(text)
const timestamp = v.pipe(text, v.isoTimestamp())
/** Names of the VM's own files: never a path. */
const fileName = (pattern: RegExp): v.GenericSchema<string> => v.pipe(text, v.regex(pattern))
const baseFile = fileName(/^base-[0-9a-f-]{36}\.qcow2$/)

/** Each file that a disk is made of is opened with it, and is looked through for what those above do not have. */
export const maxBases = 64

const diskSchema = (file: v.GenericSchema<string>) =>
  v.strictObject({
    /** What users know the disk by; its file may become another one. */
    id: v.pipe(text, v.uuid()),
    image: optionalText,
    sizeMiB: v.optional(v.number()),
    file,
    /** What the file only keeps the differences to, nearest first: `base-` files, which nobody writes to any more. */
    bases: v.optional(v.pipe(v.array(baseFile), v.maxLength(maxBases))),
    /** The PCI slot of a virtio disk that had a QEMU while it was edited; others get theirs in turn. */
    slot: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(31))),
  })
/** A drive without an image is empty: QEMU keeps it as long as memory is saved that knows it. */
const mediaSchema = v.strictObject({ image: optionalText })
const adapterSchema = v.strictObject({
  macAddress: macAddressSchema,
  outbound: v.boolean(),
  portForwards: v.array(
    v.strictObject({
      guestPort: portSchema,
      hostPort: v.optional(portSchema),
      protocol: v.picklist(['tcp', 'udp']),
      hostAddress: hostAddressSchema,
      foundHostPort: v.optional(portSchema),
    }),
  ),
})
const memorySchema = v.strictObject({
  file: fileName(/^memory-[0-9a-f-]{36}\.qcow2$/),
  /** The tag that QEMU saved it under. */
  tag: text,
  /** Whether the machine goes on running with it, or stays paused. */
  isPaused: v.boolean(),
  /** What ran it: another accelerator can't be relied on to go on with it. */
  accelerator: v.picklist(accelerators),
  /** Drives whose media were changed since: its guest is told when it goes on. */
  changedDrives: v.optional(v.array(v.pipe(text, v.regex(/^(?:cdrom|floppy)\d$/)))),
  /** What it fits, beside the hardware. */
  layout: v.optional(layoutSchema),
})
const hardwareSettings = {
  /** QEMU's name for the machine, which stays the same over its versions. */
  machine: v.pipe(text, v.regex(/^[\w.+-]+$/)),
  cpus: v.number(),
  memoryMiB: v.number(),
  cdroms: v.array(mediaSchema),
  floppies: v.array(mediaSchema),
  boot: v.strictObject({
    kernel: optionalText,
    initrd: optionalText,
    commandLine: optionalText,
    firmware: optionalText,
    videoFirmware: optionalText,
    order: v.optional(v.array(v.picklist(['disk', 'cdrom', 'floppy']))),
  }),
  networkAdapters: v.optional(v.array(adapterSchema), []),
  images: imageRecordSchema,
}
const diskFile = fileName(/^disk-[0-9a-f-]{36}\.qcow2$/)
const hardwareSchema = v.strictObject({ ...hardwareSettings, disks: v.array(diskSchema(diskFile)) })
/** A snapshot's disks may have become bases since. */
const keptHardwareSchema = v.strictObject({
  ...hardwareSettings,
  disks: v.array(diskSchema(fileName(/^(?:disk|base)-[0-9a-f-]{36}\.qcow2$/))),
})
const snapshotSchema = v.strictObject({
  id: v.pipe(text, v.uuid()),
  name: text,
  description: text,
  createdAt: timestamp,
  parentId: optionalText,
  hardware: keptHardwareSchema,
  memory: v.optional(memorySchema),
})

export const definitionSchema = v.strictObject({
  id: v.pipe(text, v.uuid()),
  name: text,
  description: text,
  createdAt: timestamp,
  hardware: hardwareSchema,
  /** The saved memory of a suspended VM. */
  memory: v.optional(memorySchema),
  hasCrashed: v.optional(v.boolean()),
  /** Files of disks that an edit takes away, until the rest of it is done: with them it can be undone. */
  leavingFiles: v.optional(v.array(diskFile)),
  snapshots: v.pipe(
    v.array(snapshotSchema),
    v.check((snapshots) => isTree(snapshots), 'they are not a tree'),
  ),
  currentSnapshot: optionalText,
  /** The snapshot that the disks are being taken back to: until that is done, they are neither here nor there. */
  switchingTo: optionalText,
  /** The directory that it is being moved to: once it is there, this is not the VM any more. */
  movingTo: optionalText,
  /** The folder that it was moved from, until that has gone. */
  movedFrom: optionalText,
})

type Frozen<T> = T extends object ? { readonly [K in keyof T]: Frozen<T[K]> } : T

export type Definition = Frozen<v.InferOutput<typeof definitionSchema>>
export type Hardware = Frozen<v.InferOutput<typeof hardwareSchema>>
export type Memory = Frozen<v.InferOutput<typeof memorySchema>>
export type SnapshotDefinition = Frozen<v.InferOutput<typeof snapshotSchema>>
export type DiskDefinition = Hardware['disks'][number]

/** Whether a disk's file is a base, which other VMs may have, too: it is never written to. */
export const isBase = (file: string): boolean => file.startsWith('base-')

/** The tag of a snapshot in the VM's disks: begins with a letter, since a number may be taken for QEMU's own id. */
export const tagOf = ({ id }: Pick<SnapshotDefinition, 'id'>): string => `s-${id}`

/** The state of a VM that no QEMU runs. */
export const stateAtRest = ({ memory, hasCrashed }: Definition): 'suspended' | 'crashed' | 'stopped' =>
  memory !== undefined ? 'suspended' : hasCrashed === true ? 'crashed' : 'stopped'

/** The definition without what a VM at rest may have left: its saved memory, and that it crashed. */
export function withoutRest({ memory: _memory, hasCrashed: _hasCrashed, ...definition }: Definition): Definition {
  return definition
}

/** Every file that the definition speaks of; others in the VM's folder are left over from something that did not end. */
export function filesOf({ hardware, memory, leavingFiles, snapshots }: Definition): Set<string> {
  const files = new Set(leavingFiles)
  for (const part of [{ hardware, memory }, ...snapshots]) {
    for (const { file, bases = [] } of part.hardware.disks) for (const name of [file, ...bases]) files.add(name)
    if (part.memory !== undefined) files.add(part.memory.file)
  }
  return files
}

/** The settings as users see them; those of a VM that runs tell the ports that were found for it. */
export const configOf = (definition: Definition, isRunning: boolean): VmConfig =>
  keptConfig(definition, {
    ...definition.hardware,
    networkAdapters: shownAdapters(definition.hardware.networkAdapters, isRunning),
  })
