import { randomUUID } from 'node:crypto'
import type { Task } from '../../driver/task.js'
import { JobCancelledError } from '../../errors.js'
import { requireNewSnapshot, requireSnapshot, withoutSnapshot } from '../../driver/snapshot-list.js'
import { snapshotNotFound } from '../../errors/lookup.js'
import { requireImages } from '../../files/image-record.js'
import type { Snapshot, SnapshotNode } from '../../model/snapshot.js'
import type { VmState } from '../../model/vm-state.js'
import { shownSnapshot, shownTree } from '../../registry/kept-snapshots.js'
import type { Definition, Memory, SnapshotDefinition } from './definition.js'
import { withoutRest } from '../../registry/kept-definition.js'
import { emulatorVersion } from './emulator-version.js'
import { newMemoryFile, withNewOverlays } from './hardware.js'
import type { EmbeddedClaims } from './embedded-claims.js'
import type { LiveVm } from './live-vm.js'
import { copyDisks, type EmbeddedStore } from './embedded-store.js'
import type { Prepared, EmbeddedLifecycle } from './embedded-lifecycle.js'

/** Snapshots: copies of the disks and, if the VM runs, of its memory. */
export class EmbeddedSnapshots {
  readonly #store: EmbeddedStore
  readonly #claims: EmbeddedClaims
  readonly #lifecycle: EmbeddedLifecycle

  constructor(store: EmbeddedStore, claims: EmbeddedClaims, lifecycle: EmbeddedLifecycle) {
    this.#store = store
    this.#claims = claims
    this.#lifecycle = lifecycle
  }

  tree(definition: Definition): SnapshotNode[] {
    return shownTree(definition)
  }

  async create(
    definition: Definition,
    live: LiveVm | undefined,
    { name, description }: { readonly name: string; readonly description: string },
    task: Task,
  ): Promise<Snapshot> {
    requireNewSnapshot(definition.snapshots, name)
    if (live === undefined) this.#store.requireFiles(definition.id, definition, 'rest')
    else await this.#lifecycle.prepare(definition, 'suspend')
    const { hardware, nameOf } = withNewOverlays(definition.hardware)
    const id = randomUUID()
    const keep = async (memory: Memory | undefined): Promise<void> => {
      if (task.signal.aborted) throw new JobCancelledError({ reason: 'it was cancelled before the snapshot was kept' })
      const snapshot: SnapshotDefinition = {
        id,
        name,
        description,
        createdAt: new Date().toISOString(),
        parentId: definition.currentSnapshot,
        hardware,
        memory,
      }
      await this.#store.save({ ...definition, snapshots: [...definition.snapshots, snapshot], currentSnapshot: id })
    }
    if (live === undefined) {
      await this.#claims.withLease(definition, async () => {
        await copyDisks(this.#store, definition.id, definition.hardware, definition.id, nameOf)
        await keep(undefined)
      })
    } else await this.#createLive(definition, live, nameOf, keep, task)
    return this.#shown(definition.id, id)
  }

  /** Restores the hardware, the disks and, if it was saved, the memory. Later changes of the VM are lost. */
  async switchTo(definition: Definition, live: LiveVm | undefined, id: string, task: Task): Promise<VmState> {
    const snapshot = requireSnapshot(definition.snapshots, id)
    const prepared = await this.#prepare(definition, snapshot)
    task.signal.throwIfAborted()
    // The present state of the VM is dropped first: from here on the operation can't be cancelled.
    task.cancelWith(() => false)
    const { hardware, nameOf } = withNewOverlays(snapshot.hardware)
    task.progress({ percent: 10, phase: 'copying disks' })
    const lease =
      live === undefined ? await this.#claims.lease(definition) : await this.#lifecycle.discard(live, definition)
    try {
      await copyDisks(this.#store, definition.id, snapshot.hardware, definition.id, nameOf)
      const { memory } = snapshot
      const switched: Definition = { ...withoutRest(definition), hardware, memory, currentSnapshot: id }
      await this.#store.save(switched)
      if (prepared !== undefined) return await this.#lifecycle.powerOn(switched, task, { lease, prepared })
      lease.release()
      this.#lifecycle.tell(switched, 'stopped', live?.state ?? 'stopped')
      return 'stopped'
    } catch (error) {
      lease.release()
      if (live !== undefined) this.#lifecycle.tell(definition, 'stopped', 'stopping')
      throw error
    }
  }

  async delete(definition: Definition, live: LiveVm | undefined, id: string): Promise<void> {
    await this.#claims.save(
      definition,
      { ...definition, ...withoutSnapshot(definition, id) },
      { isLive: live !== undefined },
    )
  }

  /** Nothing for a snapshot without memory: only its disks are needed. */
  async #prepare(definition: Definition, { hardware, memory }: SnapshotDefinition): Promise<Prepared | undefined> {
    if (memory !== undefined) return this.#lifecycle.prepare({ ...definition, hardware, memory }, 'snapshot')
    this.#store.requireFiles(definition.id, { hardware }, 'snapshot')
    await requireImages(hardware, 'disks', 'embedded')
    return undefined
  }

  async #createLive(
    definition: Definition,
    live: LiveVm,
    nameOf: (overlay: string) => string,
    keep: (memory: Memory) => Promise<void>,
    task: Task,
  ): Promise<void> {
    const before = live.state
    this.#lifecycle.enter(live, definition, 'snapshotting')
    try {
      await live.whileStill(before === 'running', async () => {
        task.progress({ percent: 10, phase: 'saving memory' })
        const file = newMemoryFile()
        await this.#store.putMemory(live.id, file, await live.machine.saveState())
        task.progress({ percent: 60, phase: 'copying disks' })
        await live.captureDisks(this.#store, definition, definition.id, nameOf)
        await keep({ file, emulator: emulatorVersion(), isPaused: before === 'paused' })
      })
    } catch (error) {
      await this.#lifecycle.backTo(live, definition, before)
      throw error
    }
    await this.#lifecycle.setState(live, definition, before)
  }

  async #shown(vm: string, id: string): Promise<Snapshot> {
    const definition = await this.#store.get(vm)
    if (definition === undefined) throw snapshotNotFound(id)
    return shownSnapshot(definition, requireSnapshot(definition.snapshots, id))
  }
}
