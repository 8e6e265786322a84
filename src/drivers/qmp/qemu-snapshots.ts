import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Task } from '../../driver/task.js'
import { JobCancelledError } from '../../errors.js'
import { requireNewSnapshot, requireSnapshot, withoutSnapshot } from '../../driver/snapshot-list.js'
import type { Snapshot, SnapshotNode } from '../../model/snapshot.js'
import type { VmState } from '../../model/vm-state.js'
import { shownSnapshot, shownTree } from '../../registry/kept-snapshots.js'
import type { VmDirectory } from '../../registry/vm-directory.js'
import { diskNode } from './disks/disk-devices.js'
import {
  allDisks,
  isBase,
  tagOf,
  withoutFormerFiles,
  type Definition,
  type Memory,
  type SnapshotDefinition,
} from './definition.js'
import type { DiskImages } from './disks/disk-images.js'
import { copyTpm } from './hardware/tpm.js'
import { newTpmCopy } from './hardware/tpm-state.js'
import type { HeldVm } from './held-vm.js'
import { newMemoryFile, saveMemory } from './disks/memory-image.js'
import { requireSaveable } from './disks/saveable-memory.js'
import { isThere, requireParts, requireVmFiles } from './disks/required-parts.js'
import { runJob } from './protocol/qemu-job.js'
import type { RunRecord } from './process/run-record.js'
import { takeOutOfBases } from './disks/snapshot-in-base.js'
import { requireShares } from './shares/shared-folder.js'
import { takeBack } from './settle.js'
import type { QemuLifecycle } from './qemu-lifecycle.js'

interface Parts {
  readonly directory: VmDirectory<Definition>
  readonly images: DiskImages
  readonly lifecycle: QemuLifecycle
}

/** Snapshots: disks are kept as internal snapshots of their files, the memory of a running VM in a file of its own. */
export class QemuSnapshots {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  tree(definition: Definition): SnapshotNode[] {
    return shownTree(definition)
  }

  async create(
    vm: HeldVm,
    { name, description }: { readonly name: string; readonly description: string },
    task: Task,
  ): Promise<Snapshot> {
    const { definition, state: before, run } = vm
    requireNewSnapshot(definition.snapshots, name)
    if (run === undefined) requireVmFiles(vm.folder, definition, 'rest')
    else await requireParts(vm.folder, definition, { images: 'suspend', files: 'run' })
    const { hardware, currentSnapshot: parentId } = definition
    const snapshot: SnapshotDefinition = {
      id: randomUUID(),
      name,
      description,
      createdAt: new Date().toISOString(),
      parentId,
      hardware: { ...withoutFormerFiles(hardware), tpm: hardware.tpm && newTpmCopy() },
    }
    const { folder } = vm
    vm.setState('snapshotting')
    try {
      task.progress({ percent: 10, phase: 'saving' })
      // The memory of a VM that runs has the state, too, as of the moment when it is saved.
      await copyTpm({ folder, tpm: hardware.tpm }, { folder, tpm: snapshot.hardware.tpm })
      const memory = run === undefined ? undefined : await this.#saveLive(vm, run, snapshot, before)
      if (run === undefined) await this.#markDisks(vm, tagOf(snapshot))
      if (vm.signal.aborted) {
        await this.#deleteTags(vm, snapshot)
        if (memory !== undefined) await rm(join(vm.folder, memory.file))
        throw new JobCancelledError({ reason: 'it was cancelled before the snapshot was kept' })
      }
      const kept = { ...snapshot, ...(memory !== undefined && { memory }) }
      const changed = { ...definition, snapshots: [...definition.snapshots, kept], currentSnapshot: kept.id }
      await vm.save(changed)
      return shownSnapshot(changed, kept)
    } catch (error) {
      if (!vm.definition.snapshots.some(({ id }) => id === snapshot.id)) await dropTpmCopy(vm, snapshot)
      throw error
    } finally {
      vm.finish(before)
    }
  }

  /** Reverts the VM to the snapshot's hardware and, if it ran, memory; its present state is lost. */
  async switchTo(vm: HeldVm, id: string, task: Task): Promise<VmState> {
    const onProgress = (percent: number): void => {
      task.progress({ percent: percent * 0.2, phase: 'copying the snapshot' })
    }
    const snapshot = requireSnapshot(vm.definition.snapshots, id)
    const use = snapshot.memory === undefined ? 'disks' : 'snapshot'
    await requireParts(vm.folder, snapshot, { images: use, files: 'snapshot' })
    if (use === 'snapshot') await requireShares(snapshot.hardware.shares ?? [], this.#parts.directory.root, 'snapshot')
    await takeOutOfBases(this.#parts.images, vm, snapshot, onProgress)
    vm.signal.throwIfAborted()
    vm.commit()
    await this.#parts.lifecycle.end(vm)
    task.progress({ percent: 20, phase: 'taking the disks back' })
    // If this process crashes from here on, the next one that claims the VM finishes the switch.
    await vm.save({ ...vm.definition, switchingTo: id })
    await vm.save(await takeBack(this.#parts, vm.definition, id))
    if (vm.definition.memory !== undefined) return this.#parts.lifecycle.powerOn(vm, task)
    vm.finish('stopped')
    return vm.state
  }

  async delete(vm: HeldVm, id: string): Promise<void> {
    const { definition } = vm
    const snapshot = requireSnapshot(definition.snapshots, id)
    await vm.save({ ...definition, ...withoutSnapshot(definition, id) })
    await this.#deleteTags(vm, snapshot)
  }

  async #saveLive(vm: HeldVm, run: RunRecord, snapshot: SnapshotDefinition, before: VmState): Promise<Memory> {
    const file = newMemoryFile()
    const tag = tagOf(snapshot)
    const disks = allDisks(snapshot.hardware).map(diskNode)
    await vm.withMonitor(async (client) => {
      await requireSaveable(client, vm.definition.hardware, before)
      await saveMemory(client, this.#parts.images, { folder: vm.folder, file, tag, disks })
    })
    return { file, tag, isPaused: before === 'paused', accelerator: run.accelerator, startedMiB: run.startedMiB }
  }

  async #markDisks(vm: HeldVm, tag: string): Promise<void> {
    for (const { file } of allDisks(vm.definition.hardware)) {
      await this.#parts.images.createSnapshot(join(vm.folder, file), tag)
    }
  }

  /** Drops a snapshot from the disks: through QEMU from those in use, with qemu-img from the others. */
  async #deleteTags(vm: HeldVm, snapshot: SnapshotDefinition): Promise<void> {
    const tag = tagOf(snapshot)
    const inUse = new Set(vm.run === undefined ? [] : allDisks(vm.definition.hardware).map(({ file }) => file))
    const devices: string[] = []
    for (const { file } of allDisks(snapshot.hardware)) {
      if (inUse.has(file)) devices.push(diskNode({ file }))
      // The file of a removed disk that is in no other snapshot has gone with the definition. Bases are never written to.
      else if (!isBase(file) && isThere(join(vm.folder, file)))
        await this.#parts.images.deleteSnapshot(join(vm.folder, file), tag)
    }
    if (devices.length === 0) return
    await vm.withMonitor((client) =>
      runJob(client, { id: 'drop', command: 'snapshot-delete', args: { tag, devices }, isBlocking: true }),
    )
  }
}

async function dropTpmCopy({ folder }: HeldVm, { hardware: { tpm } }: SnapshotDefinition): Promise<void> {
  if (tpm !== undefined) await rm(join(folder, tpm.state), { force: true })
}
