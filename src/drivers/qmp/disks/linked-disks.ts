import { link, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { InsufficientResourcesError } from '../../../errors.js'
import { allDisks, mapDisks, maxBases, type Definition, type DiskDefinition, type Hardware } from '../definition.js'
import { imageFileOf, newBaseFile, withNewFile } from './disk-chain.js'
import type { DiskImages } from './disk-images.js'
import { isUnwritten } from './own-qcow2.js'
import type { HeldVm } from '../held-vm.js'

/**
 * Disks of several VMs on common bases, which are never written to. A base has a hard link in the folder of each VM that needs it,
 * so that it exists as long as one of these VMs does, and no VM has to know of the others.
 */

/** A disk whose file becomes a base, and the overlay that its VM continues with. */
export interface Turn {
  readonly file: string
  readonly base: string
  readonly next: DiskDefinition
}

/** Finds the files that have to become bases to share the disks of a VM at rest. An unwritten overlay needs no new base. */
export async function planSharing({ folder, definition }: HeldVm): Promise<Turn[]> {
  const turns: Turn[] = []
  for (const disk of allDisks(definition.hardware)) {
    const { file, bases = [] } = disk
    if (bases.length > 0 && (await isUnwritten(join(folder, file)))) continue
    requireDepth(disk)
    const base = newBaseFile()
    turns.push({ file, base, next: { ...withNewFile(disk), bases: [base, ...bases] } })
  }
  return turns
}

/** The same for a VM that runs: each of its disks becomes a base. */
export const planLiveSharing = ({ hardware }: Pick<Definition, 'hardware'>): Turn[] =>
  allDisks(hardware).map((disk) => {
    const { file, bases = [], formerFiles = [] } = disk
    requireDepth(disk)
    const base = newBaseFile()
    return { file, base, next: { ...withNewFile(disk), bases: [base, ...bases], formerFiles: [...formerFiles, file] } }
  })

/** The hardware with the overlays. */
export const onOverlays = (hardware: Hardware, turns: readonly Turn[]): Hardware => {
  const next = new Map(turns.map((turn) => [turn.file, turn.next]))
  return mapDisks(hardware, (disk) => next.get(disk.file) ?? disk)
}

/** Makes bases of a VM's disks and calls `use`. The VM itself is changed last, in one step; until then all can be undone. */
export async function shareDisks(
  images: DiskImages,
  vm: HeldVm,
  turns: readonly Turn[],
  use: () => Promise<void>,
): Promise<void> {
  const made: string[] = []
  try {
    for (const { file, base, next } of turns) {
      made.push(join(vm.folder, base), join(vm.folder, next.file))
      await link(join(vm.folder, file), join(vm.folder, base))
      await images.create(imageFileOf(vm.folder, next, vm.definition.hardware), next.sizeMiB, { signal: vm.signal })
    }
    await use()
  } catch (error) {
    for (const path of made) await rm(path, { force: true })
    throw error
  }
  if (turns.length > 0) await vm.save(withTurns(vm.definition, turns))
}

/** Links the bases of disks into another folder. */
export async function linkBases(from: string, to: string, disks: readonly DiskDefinition[]): Promise<void> {
  const bases = new Set(disks.flatMap((disk) => disk.bases ?? []))
  for (const base of bases) await link(join(from, base), join(to, base))
}

/** The definition with the overlays. Snapshots in a file that became a base stay there. */
export function withTurns(definition: Definition, turns: readonly Turn[]): Definition {
  const bases = new Map(turns.map(({ file, base }) => [file, base]))
  return {
    ...definition,
    hardware: onOverlays(definition.hardware, turns),
    snapshots: definition.snapshots.map((snapshot) => ({
      ...snapshot,
      hardware: mapDisks(snapshot.hardware, (disk) => ({ ...disk, file: bases.get(disk.file) ?? disk.file })),
    })),
  }
}

/** Throws if the disk can't have one more base. */
export function requireDepth({ bases = [] }: Pick<DiskDefinition, 'bases'>): void {
  if (bases.length >= maxBases) throw tooDeep()
}

const tooDeep = (): InsufficientResourcesError =>
  new InsufficientResourcesError({
    reason: `its disks have ${String(maxBases)} bases upon each other, and QEMU would open them all`,
    hint: 'Clone it without linked, and link further clones to one that is never started: its disks get no new bases.',
  })
