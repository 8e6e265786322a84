import * as v from 'valibot'
import { imageRecordSchema } from '../../files/image-record.js'
import type { VmConfig } from '../../model/vm-config.js'
import { isTree, keptConfig } from '../../registry/kept-vm.js'

/**
 * How a VM is written down: everything that belongs to it is named here, so that replacing this is one step for all. What is not
 * known is refused: a newer awaitvm has written it, and a change would take it away.
 */
const text = v.string()
const optionalText = v.optional(text)
/** Names of the VM's own files: never a path. */
const fileName = v.pipe(text, v.regex(/^[a-z]+-[0-9a-f-]{36}$/))

const diskSchema = v.strictObject({
  /** What users know the disk by; snapshots have it in overlays of their own. */
  id: v.pipe(text, v.uuid()),
  image: optionalText,
  sizeMiB: v.optional(v.number()),
  overlay: fileName,
})
const mediaSchema = v.strictObject({ image: text })
const memorySchema = v.strictObject({
  file: fileName,
  /** Of the emulator that wrote it: another one can't be relied on to read it. */
  emulator: text,
  /** Whether the machine goes on running with it, or stays paused. */
  isPaused: v.boolean(),
  /** Drives whose media were changed since: its guest is told when it goes on. */
  changedDrives: v.optional(v.array(v.pipe(text, v.regex(/^(?:cdrom|floppy)\d$/)))),
})
const hardwareSchema = v.strictObject({
  memoryMiB: v.number(),
  disks: v.array(diskSchema),
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
  images: imageRecordSchema,
})
const snapshotSchema = v.strictObject({
  id: text,
  name: text,
  description: text,
  createdAt: text,
  parentId: optionalText,
  hardware: hardwareSchema,
  memory: v.optional(memorySchema),
})

export const definitionSchema = v.strictObject({
  format: v.literal(1),
  id: v.pipe(text, v.uuid()),
  name: text,
  description: text,
  createdAt: text,
  hardware: hardwareSchema,
  /** The saved memory of a suspended VM. */
  memory: v.optional(memorySchema),
  hasCrashed: v.optional(v.boolean()),
  snapshots: v.pipe(
    v.array(snapshotSchema),
    v.check((snapshots) => isTree(snapshots), 'they are not a tree'),
  ),
  currentSnapshot: optionalText,
})

type Frozen<T> = T extends object ? { readonly [K in keyof T]: Frozen<T[K]> } : T

export type Definition = Frozen<v.InferOutput<typeof definitionSchema>>
export type Hardware = Frozen<v.InferOutput<typeof hardwareSchema>>
export type Memory = Frozen<v.InferOutput<typeof memorySchema>>
export type SnapshotDefinition = Frozen<v.InferOutput<typeof snapshotSchema>>
export type DiskDefinition = Hardware['disks'][number]

/** The state of a VM that no process runs. */
export const stateAtRest = (definition: Definition): 'suspended' | 'crashed' | 'stopped' =>
  definition.memory !== undefined ? 'suspended' : definition.hasCrashed === true ? 'crashed' : 'stopped'

/** The definition without what a VM at rest may have left: its saved memory, and that it crashed. */
export function withoutRest({ memory: _memory, hasCrashed: _hasCrashed, ...definition }: Definition): Definition {
  return definition
}

/** Every file that the definition speaks of; others in the VM's folder are left over from something that did not end. */
export function filesOf({ hardware, memory, snapshots }: Definition): Set<string> {
  const files = new Set<string>()
  for (const part of [{ hardware, memory }, ...snapshots]) {
    for (const { overlay } of part.hardware.disks) files.add(overlay)
    if (part.memory !== undefined) files.add(part.memory.file)
  }
  return files
}

export const configOf = (definition: Definition): VmConfig =>
  keptConfig(definition, { ...definition.hardware, cpus: 1, networkAdapters: [] })
