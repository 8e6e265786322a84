import { link, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { InsufficientResourcesError } from '../../../errors.js'
import { maxBases, type Definition, type DiskDefinition } from '../definition.js'
import { imageFileOf, newBaseFile, withNewFile } from './disk-chain.js'
import type { DiskImages } from './disk-images.js'
import type { HeldVm } from '../held-vm.js'

/**
 * Disks of several VMs on common bases, which are never written to. A base has a hard link in the folder of each VM that needs it,
 * so that it exists as long as one of these VMs does, and no VM has to know of the others.
 */

/** A disk whose file becomes a base, and the overlay that its VM continues with. */
interface Turn {
  readonly file: string
  readonly base: string
  readonly next: DiskDefinition
}

interface Sharing {
  readonly turns: readonly Turn[]
  /** The VM's disks after that. */
  readonly disks: readonly DiskDefinition[]
}

/** Finds the files that have to become bases to share the disks of a VM at rest. An unwritten overlay needs no new base. */
export async function planSharing(images: DiskImages, { folder, definition }: HeldVm): Promise<Sharing> {
  const turns: Turn[] = []
  const disks: DiskDefinition[] = []
  for (const disk of definition.hardware.disks) {
    const { file, bases = [] } = disk
    if (bases.length > 0 && (await images.isUnwritten(join(folder, file)))) {
      disks.push(disk)
      continue
    }
    if (bases.length >= maxBases) throw tooDeep()
    const base = newBaseFile()
    const next = { ...withNewFile(disk), bases: [base, ...bases] }
    turns.push({ file, base, next })
    disks.push(next)
  }
  return { turns, disks }
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
      await images.create(imageFileOf(vm.folder, next), next.sizeMiB, { signal: vm.signal })
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
function withTurns(definition: Definition, turns: readonly Turn[]): Definition {
  const byFile = new Map(turns.map((turn) => [turn.file, turn]))
  const { hardware, snapshots } = definition
  return {
    ...definition,
    hardware: { ...hardware, disks: hardware.disks.map((disk) => byFile.get(disk.file)?.next ?? disk) },
    snapshots: snapshots.map((snapshot) => ({
      ...snapshot,
      hardware: {
        ...snapshot.hardware,
        disks: snapshot.hardware.disks.map((disk) => ({ ...disk, file: byFile.get(disk.file)?.base ?? disk.file })),
      },
    })),
  }
}

const tooDeep = (): InsufficientResourcesError =>
  new InsufficientResourcesError({
    reason: `its disks have ${String(maxBases)} bases upon each other, and QEMU would open them all`,
    hint: 'Clone it without linked, and link further clones to one that is never started: its disks get no new bases.',
  })
