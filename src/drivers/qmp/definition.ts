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
import { shareTagSchema, shareTypeSchema } from '../../model/share.js'
import { copiedStatePattern, ownStatePattern } from './hardware/tpm-state.js'
import { accelerators } from './process/accelerator.js'

const text = v.string()
const optionalText = v.optional(text)
/** Names of the VM's own files, never a path. */
const fileName = (pattern: RegExp): v.GenericSchema<string> => v.pipe(text, v.regex(pattern))
const diskFile = fileName(/^disk-[0-9a-f-]{36}\.qcow2$/)
const baseFile = fileName(/^base-[0-9a-f-]{36}\.qcow2$/)
const tpmState = fileName(ownStatePattern)
const seedFile = fileName(/^seed-[0-9a-f-]{36}\.(?:iso|json|key)$/)

/** QEMU opens each file of a disk's chain, and searches it for blocks that the files above do not have. */
export const maxBases = 64

const ownDisk = {
  ...keptDisk,
  /** The disk's backing files, nearest first: `base-` files, which are never written to again. */
  bases: v.optional(v.pipe(v.array(baseFile), v.maxLength(maxBases))),
  /**
   * The disk's files, oldest first, that became bases while the present QEMU ran: its device is named after the first, and each still
   * has a node. The next QEMU knows nothing of them.
   */
  formerFiles: v.optional(v.array(diskFile)),
  /** The PCI slot of a virtio disk that was edited while a QEMU ran; others get slots in order. */
  slot: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(31))),
  /** The raw file that a disk of the firmware's variables was copied from when it was made. It is not needed any more. */
  template: optionalText,
}
const seedSchema = v.strictObject({
  /** Also the instance id, and a part of the names of its files. */
  id: v.pipe(text, v.uuid()),
  hostname: text,
})
const ownKeySchema = v.strictObject({
  /** A part of the name of its file. */
  id: v.pipe(text, v.uuid()),
  /** The public host key that the seed gave to the guest. */
  hostKey: text,
})
const ownHardware = {
  ...keptHardware,
  /** QEMU's name for the machine, which stays the same over its versions. */
  machine: v.pipe(text, v.regex(/^[\w.+-]+$/)),
  /** Arguments for QEMU behind awaitvm's own. */
  extraArguments: v.optional(v.array(text)),
  /** Folders of the host, by their real paths. */
  shares: v.optional(
    v.array(v.strictObject({ path: text, tag: shareTagSchema, readOnly: v.boolean(), type: shareTypeSchema })),
  ),
  /** The seed for cloud-init. */
  seed: v.optional(seedSchema),
  /** The key by which the guest is reached by SSH, since a seed gave the public half to it. */
  ownKey: v.optional(ownKeySchema),
}
/** The parts of the hardware that have files of the VM's own. */
const withFiles = (file: v.GenericSchema<string>, state: v.GenericSchema<string>) => {
  const disk = v.strictObject({ ...ownDisk, file })
  return {
    disks: v.array(disk),
    /**
     * The firmware, if it is in flash memory: its code, an image that is only read, and its variables, a disk without a drive. The size
     * of that is a fraction of a MiB, which is exact, since the size is a multiple of 512 bytes.
     */
    flash: v.optional(v.strictObject({ code: text, variables: disk })),
    /** The TPM. */
    tpm: v.optional(v.strictObject({ state })),
  }
}
const hardwareSchema = v.strictObject({ ...ownHardware, ...withFiles(diskFile, tpmState) })
/** A snapshot's disks may have become bases since. */
const snapshotHardwareSchema = v.strictObject({
  ...ownHardware,
  ...withFiles(v.union([diskFile, baseFile]), fileName(copiedStatePattern)),
})
const memorySchema = v.strictObject({
  ...keptMemory,
  file: fileName(/^memory-[0-9a-f-]{36}\.qcow2$/),
  /** The name of QEMU's internal snapshot. */
  tag: text,
  /** The accelerator that ran the guest: another one may not be able to continue it. */
  accelerator: v.picklist(accelerators),
  /** What the QEMU that it was saved from was started with, in MiB: it loads only into one that is started with as much. */
  startedMiB: v.number(),
})

export const definitionSchema = v.strictObject({
  ...keptVm,
  hardware: hardwareSchema,
  memory: v.optional(memorySchema),
  snapshots: keptSnapshots(
    v.strictObject({
      ...keptSnapshot,
      hardware: snapshotHardwareSchema,
      memory: v.optional(memorySchema),
      /** Bases with the content of each disk, in the order of `allDisks`: made with the first clone of the snapshot. */
      cloneBases: v.optional(v.array(baseFile)),
    }),
  ),
  /** Files that an edit removes: kept until the edit is complete, so that it can be undone. */
  leavingFiles: v.optional(v.array(v.union([diskFile, baseFile, seedFile, tpmState]))),
  /** The snapshot that the disks are being reverted to: until that is done, their content is undefined. */
  switchingTo: optionalText,
  /** The directory that the VM is being moved to: once it is there, this copy is not the VM any more. */
  movingTo: optionalText,
  /** The folder that the VM was moved from, until that folder is removed. */
  movedFrom: optionalText,
})

export type Definition = Frozen<v.InferOutput<typeof definitionSchema>>
export type Hardware = Definition['hardware']
export type Memory = NonNullable<Definition['memory']>
export type SnapshotDefinition = Definition['snapshots'][number]
export type DiskDefinition = Hardware['disks'][number]

/** The parts of the hardware that are in disks. */
type OnDisks = Pick<Hardware, 'disks' | 'flash'>

/** All disks: those of the drives, and that of the firmware's variables. */
export const allDisks = ({ disks, flash }: OnDisks): readonly DiskDefinition[] =>
  flash === undefined ? disks : [...disks, flash.variables]

/** The hardware with each of its disks changed. */
export const mapDisks = <H extends OnDisks>(hardware: H, change: (disk: DiskDefinition) => DiskDefinition): H => {
  const { disks, flash } = hardware
  return {
    ...hardware,
    disks: disks.map(change),
    ...(flash !== undefined && { flash: { ...flash, variables: change(flash.variables) } }),
  }
}

/** The hardware for the next QEMU. */
export const withoutFormerFiles = (hardware: Hardware): Hardware =>
  allDisks(hardware).some(({ formerFiles }) => formerFiles !== undefined)
    ? mapDisks(hardware, ({ formerFiles: _formerFiles, ...disk }) => disk)
    : hardware

export type Seed = NonNullable<Hardware['seed']>

/** The files of a seed: the image that the guest sees as a disk, and the settings that it was made of, for clones. */
export const seedFiles = ({ id }: Seed): { readonly image: string; readonly settings: string } => ({
  image: `seed-${id}.iso`,
  settings: `seed-${id}.json`,
})
export const isSeedFile = (file: string): boolean => file.startsWith('seed-')

/** The file of a private key. */
export const ownKeyFile = ({ id }: Pick<NonNullable<Hardware['ownKey']>, 'id'>): string => `seed-${id}.key`

/** The files of a seed, and of the key by which the guest is reached. */
export const filesOfSeed = ({ seed, ownKey }: Pick<Hardware, 'seed' | 'ownKey'>): string[] => [
  ...(seed === undefined ? [] : Object.values(seedFiles(seed))),
  ...(ownKey === undefined ? [] : [ownKeyFile(ownKey)]),
]

/** The files of hardware in the folder of its VM. */
export const ownFilesOf = (hardware: Hardware): string[] => [
  ...allDisks(hardware).flatMap(({ file, bases = [], formerFiles = [] }) => [file, ...bases, ...formerFiles]),
  ...filesOfSeed(hardware),
  ...(hardware.tpm === undefined ? [] : [hardware.tpm.state]),
]

/** True if a disk's file is a base, which is never written to, since other VMs may share it. */
export const isBase = (file: string): boolean => file.startsWith('base-')

/** True if a file may have a hard link in the folders of other VMs: a base, or saved memory, which is never written to either. */
export const mayBeShared = (file: string): boolean => isBase(file) || file.startsWith('memory-')

/** The tag of a snapshot in the VM's disks. It begins with a letter, since QEMU may take a number for an id of its own. */
export const tagOf = ({ id }: Pick<SnapshotDefinition, 'id'>): string => `s-${id}`

/** Every file that the definition names; other files in the VM's folder are left over from unfinished work. */
export function filesOf({ hardware, memory, leavingFiles, snapshots }: Definition): Set<string> {
  const files = new Set([...(leavingFiles ?? []), ...snapshots.flatMap(({ cloneBases = [] }) => cloneBases)])
  for (const part of [{ hardware, memory }, ...snapshots]) {
    for (const name of ownFilesOf(part.hardware)) files.add(name)
    if (part.memory !== undefined) files.add(part.memory.file)
  }
  return files
}
