import type { DriverInputs } from '../../driver/driver.js'
import { requireSnapshot, withoutMemory } from '../../driver/snapshot-list.js'
import type { Task } from '../../driver/task.js'
import { vmNotFound } from '../../errors/lookup.js'
import { invalidState, statesToClone } from '../../errors/state.js'
import type { ImageUse } from '../../files/image-record.js'
import { newDefinition, stateAtRest } from '../../registry/kept-definition.js'
import type { Definition, Hardware, Memory } from './definition.js'
import type { EmbeddedClaims } from './embedded-claims.js'
import type { EmbeddedLifecycle, Prepared } from './embedded-lifecycle.js'
import { copyDisks, type EmbeddedStore } from './embedded-store.js'
import { emulatorVersion } from './emulator-version.js'
import { cloneHardware, newMemoryFile } from './hardware.js'
import type { LiveVm } from './live-vm.js'
import { SharedStates } from './shared-states.js'

/** A clone with memory that has been made, and does not run yet. */
export interface Twin {
  readonly definition: Definition
  /** It is only in this process, as the machine will be: if the process ends, the clone is a stopped VM. */
  readonly memory: Memory
  readonly prepared: Prepared
  /** Frees the memory that it was made from, once it is loaded. */
  readonly release: () => void
}

type TwinOptions = Pick<DriverInputs['vm.clone'], 'name' | 'snapshot' | 'ephemeral'>

/** What a clone goes on from: a suspended VM, or a snapshot. */
interface Moment {
  readonly hardware: Hardware
  readonly memory: Memory
  readonly use: ImageUse
}

/** Clones that go on from memory. Those that are made of one saved memory at the same time share it. */
export class EmbeddedTwins {
  readonly #store: EmbeddedStore
  readonly #claims: EmbeddedClaims
  readonly #lifecycle: EmbeddedLifecycle
  readonly #states = new SharedStates()

  constructor(store: EmbeddedStore, claims: EmbeddedClaims, lifecycle: EmbeddedLifecycle) {
    this.#store = store
    this.#claims = claims
    this.#lifecycle = lifecycle
  }

  /** Makes the clone, with the disks as they are at that moment. Run or release it afterwards. */
  async make(definition: Definition, live: LiveVm | undefined, options: TwinOptions, task: Task): Promise<Twin> {
    const { snapshot: id } = options
    if (id !== undefined) {
      const snapshot = requireSnapshot(definition.snapshots, id)
      const { hardware, memory } = snapshot
      if (memory === undefined) throw withoutMemory(snapshot)
      return this.#ofMoment(definition, live, { hardware, memory, use: 'snapshot' }, options)
    }
    if (live !== undefined) return this.#ofLive(definition, live, options, task)
    const { hardware, memory } = definition
    if (memory === undefined) throw invalidState(stateAtRest(definition), statesToClone({ memory: true }))
    return this.#ofMoment(definition, live, { hardware, memory, use: 'resume' }, options)
  }

  /** Runs the clone. If that fails, it stays at rest. */
  async run({ definition: { id }, memory, prepared, release }: Twin, task: Task): Promise<void> {
    try {
      await this.#lifecycle.exclusively(id, async () => {
        const definition = await this.#store.get(id)
        if (definition === undefined) throw vmNotFound(id)
        const lease = await this.#claims.lease(definition)
        try {
          await this.#lifecycle.powerOn({ ...definition, memory }, task, { lease, prepared })
        } catch (error) {
          lease.release()
          throw error
        }
      })
    } finally {
      release()
    }
  }

  async #ofLive(definition: Definition, live: LiveVm, options: TwinOptions, task: Task): Promise<Twin> {
    const { images, boot } = await this.#lifecycle.prepare(definition, 'suspend')
    const { hardware, nameOf } = cloneHardware({ ...definition.hardware, images })
    const twin = this.#newTwin(definition, options, hardware)
    const memory = { file: newMemoryFile(), emulator: emulatorVersion(), isPaused: false }
    let initialState: Uint8Array | undefined
    await this.#store.create(twin, () =>
      live.whileStill(live.state === 'running', async () => {
        task.progress({ percent: 5, phase: 'saving memory' })
        initialState = await live.machine.saveState()
        await live.captureDisks(this.#store, definition, twin.id, nameOf)
        task.signal.throwIfAborted()
      }),
    )
    return { definition: twin, memory, prepared: { images, boot, initialState }, release: () => undefined }
  }

  async #ofMoment(
    definition: Definition,
    live: LiveVm | undefined,
    { hardware: original, memory, use }: Moment,
    options: TwinOptions,
  ): Promise<Twin> {
    const { id } = definition
    const { state, release } = this.#states.use(memory.file, () => this.#store.getMemory(id, memory.file))
    try {
      const prepared = await this.#lifecycle.prepare({ ...definition, hardware: original, memory }, use, () => state)
      const { hardware, nameOf } = cloneHardware({ ...original, images: prepared.images })
      const twin = this.#newTwin(definition, options, hardware)
      const copy = (): Promise<void> => copyDisks(this.#store, id, original, twin.id, nameOf)
      await this.#store.create(twin, () => (live === undefined ? this.#claims.withLease(definition, copy) : copy()))
      return { definition: twin, memory: { ...memory, isPaused: false }, prepared, release }
    } catch (error) {
      release()
      throw error
    }
  }

  #newTwin(definition: Definition, { name, ephemeral }: TwinOptions, hardware: Hardware): Definition {
    return newDefinition({ ...definition, name, ephemeral }, hardware, this.#store.owner)
  }
}
