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

/** Names of the VM's own files: never a path. */
const fileName = v.pipe(v.string(), v.regex(/^[a-z]+-[0-9a-f-]{36}$/))

const diskSchema = v.strictObject({ ...keptDisk, overlay: fileName })
const memorySchema = v.strictObject({
  ...keptMemory,
  file: fileName,
  /** The version of the emulator that wrote it: another version may not be able to read it. */
  emulator: v.string(),
})
const hardwareSchema = v.strictObject({ ...keptHardware, disks: v.array(diskSchema) })
const parts = { hardware: hardwareSchema, memory: v.optional(memorySchema) }

export const definitionSchema = v.strictObject({
  ...keptVm,
  ...parts,
  snapshots: keptSnapshots(v.strictObject({ ...keptSnapshot, ...parts })),
})

export type Definition = Frozen<v.InferOutput<typeof definitionSchema>>
export type Hardware = Definition['hardware']
export type Memory = NonNullable<Definition['memory']>
export type SnapshotDefinition = Definition['snapshots'][number]
export type DiskDefinition = Hardware['disks'][number]

/** The files that the definition names. Other files in the VM's folder are left over from interrupted operations. */
export function filesOf({ hardware, memory, snapshots }: Definition): Set<string> {
  const files = new Set<string>()
  for (const part of [{ hardware, memory }, ...snapshots]) {
    for (const { overlay } of part.hardware.disks) files.add(overlay)
    if (part.memory !== undefined) files.add(part.memory.file)
  }
  return files
}
