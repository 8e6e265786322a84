import { randomUUID } from 'node:crypto'
import { link } from 'node:fs/promises'
import { join } from 'node:path'
import type { DriverInputs } from '../../driver/driver.js'
import type { Task } from '../../driver/task.js'
import { requireSnapshot, withoutMemory } from '../../driver/snapshot-list.js'
import { diskBytes } from '../../files/image-record.js'
import { refuseTwinOn, twinAdapters } from '../../network/kept-adapter.js'
import { copyFiles } from '../../registry/copy-files.js'
import { newDefinition } from '../../registry/kept-definition.js'
import type { VmDirectory } from '../../registry/vm-directory.js'
import { allDisks, filesOfSeed, mapDisks, tagOf } from './definition.js'
import type { Definition, DiskDefinition, Hardware, Memory, SnapshotDefinition } from './definition.js'
import { imageFileOf, newBaseFile, withNewFile } from './disks/disk-chain.js'
import type { DiskImages } from './disks/disk-images.js'
import { linkBases, onOverlays, planLiveSharing, planSharing, requireDepth, shareDisks } from './disks/linked-disks.js'
import { shareLive } from './disks/live-sharing.js'
import { newMemoryFile, saveMemory, type MemorySave } from './disks/memory-image.js'
import { requireSaveable } from './disks/saveable-memory.js'
import { requireParts } from './disks/required-parts.js'
import { copyTpm } from './hardware/tpm.js'
import { withOwnTpm } from './hardware/tpm-state.js'
import type { HeldVm } from './held-vm.js'
import type { RunRecord } from './process/run-record.js'
import type { QmpClient } from './protocol/qmp-client.js'
import { QmpConnectionError } from './protocol/qmp-errors.js'

interface Parts {
  readonly directory: VmDirectory<Definition>
  readonly images: DiskImages
}

type TwinOptions = Pick<DriverInputs['vm.clone'], 'name' | 'snapshot' | 'ephemeral'>

/** What a clone with memory is made of. */
interface Plan {
  /** The disks are upon bases that the original has, too. */
  readonly hardware: Hardware
  readonly memory: Omit<Memory, 'file'>
}

/**
 * Clones that go on from memory. Such a clone is the same guest under another name: its disks are overlays on bases that it shares
 * with the original, and its memory is a hard link to a file that is never written to. It is made suspended, and resumed by the caller.
 */
export class QemuTwins {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async make(vm: HeldVm, twin: TwinOptions, task: Task): Promise<Definition> {
    const { run, definition } = vm
    const snapshot = twin.snapshot === undefined ? undefined : requireSnapshot(definition.snapshots, twin.snapshot)
    refuseTwinOn((snapshot ?? definition).hardware.networkAdapters)
    if (snapshot !== undefined) return this.#ofSnapshot(vm, snapshot, twin, task)
    if (run !== undefined) return this.#ofRunning(vm, run, twin, task)
    const { memory } = definition
    if (memory === undefined) throw new Error('A VM without memory has another state')
    return this.#ofSuspended(vm, memory, twin, task)
  }

  async #ofRunning(vm: HeldVm, run: RunRecord, twin: TwinOptions, task: Task): Promise<Definition> {
    const { definition, state: before } = vm
    await requireParts(vm.folder, definition, { images: 'suspend', files: 'run' })
    const turns = planLiveSharing(definition)
    const memory = { tag: 'cloned', isPaused: false, accelerator: run.accelerator, startedMiB: run.startedMiB }
    const plan = { hardware: onOverlays(definition.hardware, turns), memory }
    const goOn = async (): Promise<void> => {
      if (before === 'running') await vm.withMonitor((client) => client.execute('cont'))
      vm.finish(before)
    }
    const still = async (client: QmpClient, save: Pick<MemorySave, 'place' | 'file'>): Promise<void> => {
      await requireSaveable(client, definition.hardware, before)
      task.progress({ percent: 20, phase: 'saving memory' })
      vm.setState('cloning')
      await client.execute('stop')
      await saveMemory(client, this.#parts.images, { ...save, folder: vm.folder, tag: memory.tag, disks: [] })
      vm.signal.throwIfAborted()
    }
    return this.#create(vm, plan, twin, async (place, file, prepare) => {
      try {
        await shareLive(this.#parts.images, vm, turns, { prepare, still: (client) => still(client, { place, file }) })
      } catch (error) {
        const isHalted = vm.state !== before
        // A QEMU that is gone can't go on; the next look shows its end.
        if (isHalted && error instanceof QmpConnectionError) vm.finish(before)
        else if (isHalted) await goOn()
        throw error
      }
      await goOn()
    })
  }

  async #ofSuspended(vm: HeldVm, memory: Memory, twin: TwinOptions, task: Task): Promise<Definition> {
    await requireParts(vm.folder, vm.definition, { images: 'resume', files: 'rest' })
    task.progress({ percent: 0, phase: 'linking disks' })
    const turns = await planSharing(vm)
    const plan = { hardware: onOverlays(vm.definition.hardware, turns), memory }
    return this.#create(vm, plan, twin, async (folder, file, prepare) => {
      await link(join(vm.folder, memory.file), join(folder, file))
      await shareDisks(this.#parts.images, vm, turns, prepare)
    })
  }

  async #ofSnapshot(vm: HeldVm, snapshot: SnapshotDefinition, twin: TwinOptions, task: Task): Promise<Definition> {
    const { memory } = snapshot
    if (memory === undefined) throw withoutMemory(snapshot)
    await requireParts(vm.folder, snapshot, { images: 'snapshot', files: 'snapshot' })
    const cloneBases = snapshot.cloneBases ?? (await this.#makeCloneBases(vm, snapshot, task))
    const bases = new Map(allDisks(snapshot.hardware).map(({ file }, index) => [file, cloneBases[index]]))
    const hardware = mapDisks(snapshot.hardware, (disk) => {
      const base = bases.get(disk.file)
      return base === undefined ? disk : { ...disk, bases: [base, ...(disk.bases ?? [])] }
    })
    return this.#create(vm, { hardware, memory }, twin, async (folder, file, prepare) => {
      await link(join(vm.folder, memory.file), join(folder, file))
      await prepare()
    })
  }

  /** Copies what the disks held at the snapshot, once for all of its clones. The VM may run. */
  async #makeCloneBases(vm: HeldVm, snapshot: SnapshotDefinition, task: Task): Promise<string[]> {
    const { images } = this.#parts
    const { hardware } = snapshot
    const disks = allDisks(hardware)
    const made: string[] = []
    for (const [index, disk] of disks.entries()) {
      requireDepth(disk)
      const base = newBaseFile()
      const path = join(vm.folder, base)
      const { backing } = imageFileOf(vm.folder, disk, hardware)
      await images.copy(
        { folder: vm.folder, disk, known: hardware, tag: tagOf(snapshot) },
        { path, backing },
        {
          signal: vm.signal,
          onProgress: (percent) => {
            task.progress({ percent: (0.5 * (100 * index + percent)) / disks.length, phase: 'copying the snapshot' })
          },
        },
      )
      // The copy has the present size of the disk, which may have grown since the snapshot.
      await images.cut(path, diskBytes(disk, hardware))
      made.push(base)
    }
    const snapshots = vm.definition.snapshots.map((other) =>
      other.id === snapshot.id ? { ...other, cloneBases: made } : other,
    )
    await vm.save({ ...vm.definition, snapshots })
    return made
  }

  /**
   * Makes the clone, suspended.
   *
   * @param fill puts the memory into the file, and calls `prepare` when all bases are in the folder of the original
   */
  async #create(
    vm: HeldVm,
    { hardware: shared, memory }: Plan,
    { name, ephemeral }: TwinOptions,
    fill: (folder: string, memoryFile: string, prepare: () => Promise<void>) => Promise<void>,
  ): Promise<Definition> {
    const { directory, images } = this.#parts
    const hardware = twinHardware(shared)
    const file = newMemoryFile()
    const twin = {
      ...newDefinition({ ...vm.definition, name, ephemeral }, hardware, directory.owner),
      memory: { ...memory, isPaused: false, file },
    }
    await directory.create(twin, async () => {
      const folder = directory.folder(twin.id)
      await fill(folder, file, async () => {
        const seed = filesOfSeed(hardware)
        await copyFiles(vm.folder, folder, seed, { signal: vm.signal, onProgress: () => undefined })
        await copyTpm({ folder: vm.folder, ...shared }, { folder, ...hardware })
        await linkBases(vm.folder, folder, allDisks(hardware))
        for (const disk of allDisks(hardware))
          await images.create(imageFileOf(folder, disk, hardware), disk.sizeMiB, { signal: vm.signal })
      })
      vm.signal.throwIfAborted()
    })
    return twin
  }
}

/** The guest knows its adapters' addresses and its seed, which stay. Disks get new ids and files. */
const twinHardware = (hardware: Hardware): Hardware => ({
  ...mapDisks(withOwnTpm(hardware), (disk): DiskDefinition => ({ ...withNewFile(disk), id: randomUUID() })),
  networkAdapters: twinAdapters(hardware.networkAdapters),
})
