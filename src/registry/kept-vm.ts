import type { Snapshot, SnapshotNode } from '../model/snapshot.js'
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
  readonly cdroms: readonly MediaConfig[]
  readonly floppies: readonly MediaConfig[]
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
    cdroms,
    floppies,
    boot,
    networkAdapters,
    createdAt: new Date(createdAt),
  }
}

/** A snapshot as users see it, with those made on top of it. */
export function snapshotNode(
  vm: { readonly snapshots: readonly KeptSnapshot[]; readonly currentSnapshot?: string | undefined },
  { id, name, description, createdAt, parentId, memory }: KeptSnapshot,
): SnapshotNode {
  return {
    id,
    name,
    description,
    createdAt: new Date(createdAt),
    parentId,
    state: memory === undefined ? 'stopped' : memory.isPaused ? 'paused' : 'running',
    isCurrent: vm.currentSnapshot === id,
    children: vm.snapshots.filter((child) => child.parentId === id).map((child) => snapshotNode(vm, child)),
  }
}
