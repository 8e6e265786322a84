import type { DriverInputs } from '../../driver/driver.js'
import type { Sending } from '../../driver/host-work.js'
import { withLocalImages } from '../../driver/local-images.js'
import type { Task } from '../../driver/task.js'
import { requireImages, requireStillThere } from '../../files/image-record.js'
import { changedDrives, reachOf } from '../../model/vm-changes.js'
import type { VmChanges, VmSpec } from '../../model/vm-spec.js'
import type { Definition } from './definition.js'
import { keepDetails, newDefinition, stateAtRest } from '../../registry/kept-definition.js'
import { invalidState, requireSameDrives } from '../../errors/state.js'
import { cloneHardware, planHardware, refuseUnsupported } from './hardware.js'
import type { LiveVm } from './live-vm.js'
import { copyDisks, makeDisks, type EmbeddedStore } from './embedded-store.js'
import type { EmbeddedClaims } from './embedded-claims.js'

type CloneInput = Pick<DriverInputs['vm.clone'], 'name' | 'ephemeral'>

/** Creates, edits, clones and deletes VMs. */
export class EmbeddedProvisioning {
  readonly #store: EmbeddedStore
  readonly #claims: EmbeddedClaims

  constructor(store: EmbeddedStore, claims: EmbeddedClaims) {
    this.#store = store
    this.#claims = claims
  }

  async create(wanted: VmSpec, task: Task, { signal, send }: Sending): Promise<Definition> {
    refuseUnsupported(wanted, 'spec')
    const spec = await withLocalImages(wanted, 'spec', { task, signal, vms: this.#store.vms })
    send()
    const definition = newDefinition(spec, await planHardware(spec, undefined, 'spec'), this.#store.owner)
    await this.#store.create(definition, () =>
      makeDisks(this.#store, definition.id, definition.hardware, { disks: [] }),
    )
    await requireStillThere(definition.hardware, 'embedded', () => this.#store.delete(definition.id))
    return definition
  }

  async edit(definition: Definition, live: LiveVm | undefined, changes: VmChanges): Promise<Definition> {
    const { hardware: before, memory } = definition
    const reach = reachOf(changes)
    const isPossible = live === undefined && (memory === undefined || reach === 'media')
    if (reach !== 'details' && !isPossible) {
      throw invalidState(live?.state ?? stateAtRest(definition), ['stopped', 'crashed'])
    }
    const hardware = reach === 'details' ? before : await planHardware(changes, before, 'changes')
    if (memory !== undefined) requireSameDrives(before, hardware, 'suspended')
    const changed = new Set([...(memory?.changedDrives ?? []), ...changedDrives(before, hardware)])
    const edited: Definition = {
      ...definition,
      ...keepDetails(changes, definition, this.#store.owner),
      hardware,
      ...(memory !== undefined && changed.size > 0 && { memory: { ...memory, changedDrives: [...changed] } }),
    }
    const write = async (): Promise<void> => {
      await makeDisks(this.#store, definition.id, hardware, before)
      await this.#save(definition, edited)
    }
    // A live VM has a claim already.
    await (live === undefined ? this.#claims.withLease(definition, write) : write())
    return edited
  }

  /** Saves an edit, or takes it back if the image of a new disk is gone. Deleted disks leave last, since they can't come back. */
  async #save(before: Definition, edited: Definition): Promise<void> {
    const [old, hardware] = [before.hardware, edited.hardware]
    const added = hardware.disks.filter(({ id }) => !old.disks.some((disk) => disk.id === id))
    const removed = old.disks.filter(({ id }) => !hardware.disks.some((disk) => disk.id === id))
    if (added.length > 0) {
      const images = { ...old.images, ...hardware.images }
      const whole = { ...hardware, images, disks: [...hardware.disks, ...removed] }
      await this.#store.save(removed.length === 0 ? edited : { ...edited, hardware: whole })
      await requireStillThere({ ...hardware, disks: added }, 'embedded', () => this.#store.save(before))
      if (removed.length === 0) return
    }
    await this.#store.save(edited)
  }

  async clone(definition: Definition, live: LiveVm | undefined, { name, ephemeral }: CloneInput): Promise<Definition> {
    this.#store.requireFiles(definition.id, { hardware: definition.hardware }, 'rest')
    await requireImages(definition.hardware, 'disks', 'embedded')
    const { hardware, nameOf } = cloneHardware(definition.hardware)
    const clone = newDefinition({ ...definition, name, ephemeral }, hardware, this.#store.owner)
    await this.#store.create(clone, () =>
      live === undefined
        ? this.#claims.withLease(definition, () =>
            copyDisks(this.#store, definition.id, definition.hardware, clone.id, nameOf),
          )
        : live.whileStill(live.state === 'running', () => live.captureDisks(this.#store, definition, clone.id, nameOf)),
    )
    return clone
  }

  async delete(definition: Definition): Promise<void> {
    // Not released if the deletion succeeds: the claim is deleted with the folder.
    const { lease } = await this.#store.lease(definition.id)
    try {
      await this.#store.delete(definition.id)
    } catch (error) {
      lease.release()
      throw error
    }
  }
}
