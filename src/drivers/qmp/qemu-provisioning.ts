import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { DriverInputs } from '../../driver/driver.js'
import type { Sending } from '../../driver/host-work.js'
import { withLocalImages } from '../../driver/local-images.js'
import type { Task } from '../../driver/task.js'
import { invalidState } from '../../errors/state.js'
import { requireImages, requireStillThere } from '../../files/image-record.js'
import { changedDrives, reachOf } from '../../model/vm-changes.js'
import type { VmChanges, VmSpec } from '../../model/vm-spec.js'
import { keepDetails, newDefinition } from '../../registry/kept-definition.js'
import type { VmDirectory } from '../../registry/vm-directory.js'
import { converterBy } from './disks/converted-image.js'
import { copyLive } from './disks/copy-live.js'
import { allDisks, type Definition, type DiskDefinition, type Hardware } from './definition.js'
import { imageFileOf } from './disks/disk-chain.js'
import type { DiskImages } from './disks/disk-images.js'
import { kindOfMachine, wantedMachine, type MachineKind } from './hardware/machine.js'
import { cloneHardware, planHardware, refuseUnsupported } from './hardware/hardware.js'
import { requireKey, withoutHostKey } from './guest-io/ssh-guest.js'
import { cloneSeed, planSeed } from './hardware/seed.js'
import { copyTpm, makeTpm } from './hardware/tpm.js'
import type { HeldVm } from './held-vm.js'
import { linkBases, onOverlays, planLiveSharing, planSharing, shareDisks } from './disks/linked-disks.js'
import { shareLive } from './disks/live-sharing.js'
import { requireBases, requireParts, requireVmFiles } from './disks/required-parts.js'
import { editAtRest } from './edit/edit-at-rest.js'
import type { HardwareEdit } from './edit/hardware-edit.js'
import { editLive } from './edit/live-edit.js'
import { requireDrives } from './edit/live-limits.js'

interface Parts {
  readonly directory: VmDirectory<Definition>
  readonly images: DiskImages
  /** QEMU's name for a machine. */
  readonly machine: (kind: MachineKind) => Promise<string>
}

type CloneInput = Pick<DriverInputs['vm.clone'], 'name' | 'ephemeral'>

/** Creates, edits, clones and deletes VMs. */
export class QemuProvisioning {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async create(wanted: VmSpec, task: Task, sending: Sending): Promise<Definition> {
    refuseUnsupported(wanted, 'spec')
    const { directory, images } = this.#parts
    const converter = converterBy(images)
    const spec = await withLocalImages(wanted, 'spec', { task, signal: sending.signal, converter, vms: directory.vms })
    sending.send()
    const { signal } = task
    const machine = await this.#machine(spec, 'spec')
    const planned = await planHardware(spec, undefined, { root: 'spec', machine, directory: directory.root })
    const seed = planSeed(spec, spec.name, {}, 'spec')
    const hardware = { ...planned, ...seed.hardware }
    requireKey(spec.guest, hardware, 'spec')
    const definition = newDefinition(spec, hardware, directory.owner)
    await directory.create(definition, async () => {
      const folder = directory.folder(definition.id)
      await this.#makeDisks(folder, hardware, allDisks(hardware), signal)
      await seed.write(folder)
      await makeTpm(folder, hardware)
      signal.throwIfAborted()
    })
    await requireStillThere(hardware, 'qmp', () => directory.delete(definition.id))
    return definition
  }

  async edit(vm: HeldVm, changes: VmChanges): Promise<void> {
    const { definition, state } = vm
    const seed = planSeed(changes, changes.name ?? definition.name, definition.hardware, 'changes')
    const details = keepDetails(changes, settingsFor(definition, seed.isNew), this.#parts.directory.owner)
    const reach = reachOf(changes)
    if (reach === 'details') {
      requireKey(changes.guest, definition.hardware, 'changes')
      await vm.save({ ...definition, ...details })
      return
    }
    const { run } = vm
    if ((state === 'suspended' && reach !== 'media') || (run !== undefined && state === 'crashed')) {
      throw invalidState(state, ['stopped', 'crashed'])
    }
    const { memory, hardware: before } = definition
    const machine = await this.#machine(changes, 'changes', before.machine)
    const planned = await planHardware(changes, before, {
      root: 'changes',
      machine,
      directory: this.#parts.directory.root,
    })
    const wanted = { ...planned, ...seed.hardware }
    requireKey(changes.guest, wanted, 'changes')
    if (memory !== undefined) {
      requireDrives(before, wanted, state)
      const changed = new Set([...(memory.changedDrives ?? []), ...changedDrives(before, wanted)])
      await vm.save({
        ...definition,
        ...details,
        hardware: wanted,
        memory: { ...memory, changedDrives: [...changed] },
      })
      return
    }
    const edit: HardwareEdit = {
      before: definition.hardware,
      wanted,
      makeDisks: (disks) => this.#makeDisks(vm.folder, wanted, disks, vm.signal),
      writeFiles: async () => {
        await seed.write(vm.folder)
        await makeTpm(vm.folder, wanted, before.tpm)
      },
      removeFiles: async (files) => {
        for (const file of files) await rm(join(vm.folder, file), { force: true })
      },
      save: (hardware, leaving = []) =>
        vm.save({ ...definition, ...details, hardware, ...(leaving.length > 0 && { leavingFiles: [...leaving] }) }),
      unsave: (grown) => {
        const sizes = new Map(grown.map(({ id, sizeMiB }) => [id, sizeMiB]))
        const disks = definition.hardware.disks.map((disk) => ({
          ...disk,
          sizeMiB: sizes.get(disk.id) ?? disk.sizeMiB,
        }))
        return vm.save({ ...definition, hardware: { ...definition.hardware, disks } })
      },
    }
    await (run === undefined ? editAtRest(this.#parts.images, vm, edit) : editLive(vm, run, edit))
  }

  /** Makes a VM with copies of the disks as they are now. Bases are shared with the original, since they are never written to. */
  async clone(vm: HeldVm, { name, ephemeral }: CloneInput, task: Task): Promise<Definition> {
    const { directory } = this.#parts
    if (vm.run === undefined) requireVmFiles(vm.folder, { hardware: vm.definition.hardware }, 'rest')
    else requireBases(vm.folder, vm.definition)
    await requireImages(vm.definition.hardware, 'disks', 'qmp')
    const seed = await cloneSeed(vm.folder, vm.definition.hardware, name, vm.signal)
    const hardware = cloneHardware(vm.definition.hardware, seed.hardware)
    const clone = newDefinition(
      { ...settingsFor(vm.definition, seed.isNew), name, ephemeral },
      hardware,
      directory.owner,
    )
    await directory.create(clone, async () => {
      const folder = directory.folder(clone.id)
      await seed.write(folder)
      await copyTpm({ folder: vm.folder, ...vm.definition.hardware }, { folder, ...hardware })
      const disks = allDisks(clone.hardware)
      await linkBases(vm.folder, folder, disks)
      const onProgress = (percent: number): void => {
        task.progress({ percent: percent * 0.95, phase: 'copying disks' })
      }
      onProgress(0)
      if (vm.run === undefined) await this.#copyDisks(vm, folder, clone.hardware, onProgress)
      else {
        await this.#makeDisks(folder, clone.hardware, disks, vm.signal)
        const targets = disks.map(({ file }) => join(folder, file))
        await vm.withMonitor((client) =>
          copyLive(client, allDisks(vm.definition.hardware), targets, { signal: vm.signal, onProgress }),
        )
      }
      vm.signal.throwIfAborted()
    })
    return clone
  }

  /** Makes a VM whose disks are overlays on the present content of the original's disks. */
  async cloneLinked(vm: HeldVm, { name, ephemeral }: CloneInput, task: Task): Promise<Definition> {
    const { directory, images } = this.#parts
    const isRunning = vm.run !== undefined
    const files = isRunning ? 'run' : 'rest'
    await requireParts(vm.folder, { hardware: vm.definition.hardware }, { images: 'disks', files })
    task.progress({ percent: 0, phase: 'linking disks' })
    const turns = isRunning ? planLiveSharing(vm.definition) : await planSharing(vm)
    const seed = await cloneSeed(vm.folder, vm.definition.hardware, name, vm.signal)
    const hardware = cloneHardware(onOverlays(vm.definition.hardware, turns), seed.hardware)
    const clone = newDefinition(
      { ...settingsFor(vm.definition, seed.isNew), name, ephemeral },
      hardware,
      directory.owner,
    )
    await directory.create(clone, async () => {
      const folder = directory.folder(clone.id)
      await seed.write(folder)
      await copyTpm({ folder: vm.folder, ...vm.definition.hardware }, { folder, ...hardware })
      const prepare = async (): Promise<void> => {
        await linkBases(vm.folder, folder, allDisks(hardware))
        await this.#makeDisks(folder, hardware, allDisks(hardware), vm.signal)
        vm.signal.throwIfAborted()
      }
      await (isRunning ? shareLive(images, vm, turns, { prepare }) : shareDisks(images, vm, turns, prepare))
    })
    return clone
  }

  async delete(vm: HeldVm): Promise<void> {
    await this.#parts.directory.delete(vm.id)
  }

  /** QEMU's name for a machine: the present one, if it is of the wanted kind. */
  async #machine(changes: VmChanges, root: string, present?: string): Promise<string> {
    const kind = wantedMachine(changes, present, root)
    return present !== undefined && kind === kindOfMachine(present) ? present : this.#parts.machine(kind)
  }

  async #makeDisks(
    folder: string,
    known: Hardware,
    disks: readonly DiskDefinition[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { images } = this.#parts
    for (const disk of disks) await images.create(imageFileOf(folder, disk, known), disk.sizeMiB, { signal })
  }

  async #copyDisks(vm: HeldVm, folder: string, clone: Hardware, onProgress: (percent: number) => void): Promise<void> {
    const { hardware } = vm.definition
    const disks = allDisks(hardware)
    const targets = allDisks(clone)
    for (const [index, disk] of disks.entries()) {
      const target = targets[index]
      if (target === undefined) continue
      await this.#parts.images.copy({ folder: vm.folder, disk, known: hardware }, imageFileOf(folder, target, clone), {
        signal: vm.signal,
        onProgress: (percent) => {
          onProgress((100 * index + percent) / disks.length)
        },
      })
    }
  }
}

/** The settings of a VM. A new seed gives the guest another host key than the one that was given or pinned. */
const settingsFor = ({ guest, ...definition }: Definition, hasNewSeed: boolean): Definition => ({
  ...definition,
  guest: hasNewSeed ? withoutHostKey(guest) : guest,
})
