import type { Snapshot, SnapshotNode } from '../model/snapshot.js'
import type { MediaDrive } from '../model/vm-changes.js'
import type { BootConfig, DiskConfig, MediaConfig, NetworkAdapterConfig, VmConfig } from '../model/vm-config.js'

/** What is written down of a snapshot, whichever host keeps it. */
interface KeptSnapshot extends Pick<Snapshot, 'id' | 'name' | 'description'> {
  readonly createdAt: string
  readonly parentId?: string | undefined
  readonly memory?: { readonly isPaused: boolean } | undefined
}

interface KeptVm extends Pick<VmConfig, 'name' | 'description'> {
  readonly createdAt: string
}

interface KeptHardware {
  readonly cpus: number
  readonly memoryMiB: number
  readonly disks: readonly DiskConfig[]
  readonly cdroms: readonly MediaDrive[]
  readonly floppies: readonly MediaDrive[]
  readonly boot: BootConfig
  readonly networkAdapters: readonly NetworkAdapterConfig[]
}

/** The settings as users see them: without what a host adds to them for itself. */
export function keptConfig({ name, description, createdAt }: KeptVm, hardware: KeptHardware): VmConfig {
  const { cpus, memoryMiB, disks, cdroms, floppies, boot, networkAdapters } = hardware
  return {
    name,
    description,
    cpus,
    memoryMiB,
    disks: disks.map(({ id, image, sizeMiB }) => ({
      id,
      ...(image !== undefined && { image }),
      ...(sizeMiB !== undefined && { sizeMiB }),
    })),
    cdroms: cdroms.filter(isFull),
    floppies: floppies.filter(isFull),
    boot,
    networkAdapters,
    createdAt: new Date(createdAt),
  }
}

/** Users are not told of empty drives. */
const isFull = (drive: MediaDrive): drive is MediaConfig => drive.image !== undefined

interface KeptSnapshots {
  readonly snapshots: readonly KeptSnapshot[]
  readonly currentSnapshot?: string | undefined
}

/** A snapshot as users see it. */
export function shownSnapshot({ currentSnapshot }: KeptSnapshots, kept: KeptSnapshot): Snapshot {
  const { id, name, description, createdAt, parentId, memory } = kept
  return {
    id,
    name,
    description,
    createdAt: new Date(createdAt),
    parentId,
    state: memory === undefined ? 'stopped' : memory.isPaused ? 'paused' : 'running',
    isCurrent: currentSnapshot === id,
  }
}

/** The snapshots that have no parent, each with those made on top of it. There may be tens of thousands, in one line. */
export function snapshotTree(vm: KeptSnapshots): SnapshotNode[] {
  const roots: SnapshotNode[] = []
  const childrenOf = new Map<string, SnapshotNode[]>()
  for (const kept of vm.snapshots) {
    const children: SnapshotNode[] = []
    childrenOf.set(kept.id, children)
    const siblings = kept.parentId === undefined ? roots : childrenOf.get(kept.parentId)
    siblings?.push({ ...shownSnapshot(vm, kept), children })
  }
  return roots
}

/** Whether each snapshot has an id of its own, and comes after the one that it was made on top of: so none is its own ancestor. */
export function isTree(snapshots: readonly Pick<KeptSnapshot, 'id' | 'parentId'>[]): boolean {
  const seen = new Set<string>()
  return snapshots.every(({ id, parentId }) => {
    const isSound = !seen.has(id) && (parentId === undefined || seen.has(parentId))
    seen.add(id)
    return isSound
  })
}
