import type { Task } from '../../driver/task.js'
import { inBackground } from '../../background.js'
import { JobCancelledError, ProtocolError } from '../../errors.js'
import { requireImages, type ImageRecord, type ImageUse } from '../../files/image-record.js'
import type { VmEvent } from '../../model/vm-event.js'
import type { VmState } from '../../model/vm-state.js'
import { Exclusive } from '../../exclusive.js'
import type { Definition } from './definition.js'
import type { EmbeddedClaims } from './embedded-claims.js'
import { stateAtRest, withoutRest } from '../../registry/kept-definition.js'
import { nativeError } from './embedded-errors.js'
import { emulatorVersion } from './emulator-version.js'
import { MachineCrashedError } from './machine/machine-thread.js'
import { newMemoryFile, readBoot } from './hardware.js'
import { LiveVm, type MachineEnd, type MachineParts } from './live-vm.js'
import type { Lease, EmbeddedStore } from './embedded-store.js'

type StateReason = 'guest' | 'request' | 'crash' | 'disk-full'

/** What a machine is loaded from. */
export interface Prepared extends MachineParts {
  /** The size and time of change of each image, to be saved with the VM. */
  readonly images: ImageRecord
}

interface Parts {
  readonly store: EmbeddedStore
  readonly claims: EmbeddedClaims
  readonly emit: (event: VmEvent) => void
  /** Aborted when the connection is closed. */
  readonly closing: AbortSignal
}

/** Starts and ends the machines of VMs in this process. */
export class EmbeddedLifecycle {
  readonly #store: EmbeddedStore
  readonly #claims: EmbeddedClaims
  readonly #emit: (event: VmEvent) => void
  readonly #closing: AbortSignal
  readonly #exclusive = new Exclusive()
  readonly #live = new Map<string, LiveVm>()

  constructor({ store, claims, emit, closing }: Parts) {
    this.#store = store
    this.#claims = claims
    this.#emit = emit
    this.#closing = closing
    store.onRemoved((id) => {
      inBackground(`Ending the removed VM ${id}`, () => this.#endRemoved(id))
    })
  }

  get isClosed(): boolean {
    return this.#closing.aborted
  }

  /** Runs an action after all earlier changes of the VM. */
  exclusively<T>(id: string, action: () => Promise<T>): Promise<T> {
    return this.#exclusive.run(id, action)
  }

  live(id: string): LiveVm | undefined {
    return this.#live.get(id)
  }

  /**
   * Reads all that a VM needs to start, so that a missing file is found before anything is changed.
   *
   * @param readMemory reads its saved memory, if it has any
   */
  async prepare(
    { id, memory, hardware, guest }: Definition,
    use: ImageUse,
    readMemory = (file: string): Promise<Uint8Array> => this.#store.getMemory(id, file),
  ): Promise<Prepared> {
    this.#store.requireFiles(id, { hardware, memory }, use === 'snapshot' ? 'snapshot' : 'rest')
    if (memory !== undefined && memory.emulator !== emulatorVersion()) throw foreignMemory(memory.emulator)
    const images = await requireImages(hardware, use, 'embedded')
    const [boot, initialState] = await Promise.all([
      readBoot({ hardware, guest }),
      memory === undefined ? undefined : readMemory(memory.file),
    ])
    return { images, boot, initialState }
  }

  /** Runs a VM that is at rest, from its saved memory if it has one. */
  async powerOn(found: Definition, task: Task, ready?: { lease: Lease; prepared: Prepared }): Promise<VmState> {
    this.#closing.throwIfAborted()
    const { id, memory } = found
    const isAborted = (): boolean => task.signal.aborted || this.isClosed
    const atRest = stateAtRest(found)
    task.progress({ percent: 5, phase: 'reading images' })
    const { images, ...parts } =
      ready?.prepared ?? (await this.prepare(found, memory === undefined ? 'start' : 'resume'))
    const definition = { ...found, hardware: { ...found.hardware, images } }
    const held = ready?.lease ?? (await this.#claims.lease(found))
    const through = memory === undefined ? 'starting' : 'resuming'
    let live: LiveVm | undefined
    let told: VmState = atRest
    try {
      held.setState(through)
      this.tell(definition, through, atRest)
      told = through
      task.progress({ percent: 20, phase: 'loading the machine' })
      live = await LiveVm.load(this.#store, definition, held, through, parts)
      if (isAborted()) throw new JobCancelledError({ reason: 'it was cancelled before the machine ran' })
      task.progress({ percent: 80, phase: 'starting the processor' })
      // The saved memory is dropped before the guest runs: once the disks change, it does not match them.
      const isChanged = memory !== undefined || found.hasCrashed === true || images !== found.hardware.images
      if (isChanged) await this.#store.save(withoutRest(definition))
      return await this.#run(live, definition, memory?.isPaused === true)
    } catch (error) {
      this.#live.delete(id)
      await live?.discard()
      const now = (await this.#store.get(id)) ?? definition
      // A machine that fails while it loads throws another error: its guest has not run.
      const hasCrashed = error instanceof MachineCrashedError
      try {
        if (hasCrashed) await this.#store.save({ ...withoutRest(now), hasCrashed })
      } finally {
        held.release()
      }
      if (hasCrashed) this.tell(definition, 'crashed', through, { reason: 'crash', message: error.message })
      else if (told === through) this.tell(definition, stateAtRest(now), through)
      throw error
    }
  }

  async #run(live: LiveVm, definition: Definition, isPaused: boolean): Promise<VmState> {
    this.#live.set(live.id, live)
    live.onDiskFull = () => {
      inBackground(`Pausing the VM ${live.id}`, () => this.#onDiskFull(live))
    }
    if (!isPaused) await live.machine.start()
    await this.setState(live, definition, isPaused ? 'paused' : 'running')
    live.ended
      .then((end) => this.#onEnd(live, end))
      .catch((error: unknown) => {
        // No call waits for this. The VM has stopped all the same; the warning keeps the reason.
        warn(definition, error)
      })
    return live.state
  }

  /** Announces the state that a live VM is about to enter. If the state can't be written, nothing has changed. */
  enter(live: LiveVm, { name }: Pick<Definition, 'name'>, state: VmState): void {
    const previous = live.state
    live.lease.setState(state)
    live.state = state
    this.#emit({ type: 'state', vmId: live.id, name, state, previous, reason: 'request', at: new Date() })
  }

  /** Sets the state of a live VM, and announces it. */
  async setState(live: LiveVm, definition: Definition, state: VmState): Promise<void> {
    const previous = live.state
    live.state = state
    this.#claims.note(live.id, state)
    const { problem } = live
    this.tell(definition, state, previous, problem && { reason: 'disk-full', message: problem.message })
    try {
      live.lease.setState(state)
    } catch (error) {
      // The state has changed all the same; other processes learn it with the next change.
      warn(definition, error)
    }
  }

  /** Waits until the VM has stopped, for any reason. */
  async ended(live: LiveVm): Promise<void> {
    await live.gone
    // The operation that stopped it may still be working on the VM.
    await this.exclusively(live.id, () => Promise.resolve())
  }

  /** Saves the memory, and ends the machine. */
  async suspend(live: LiveVm, definition: Definition, task: Task): Promise<VmState> {
    await this.prepare(definition, 'suspend')
    const before = live.state
    const file = newMemoryFile()
    this.enter(live, definition, 'suspending')
    try {
      task.progress({ percent: 5, phase: 'pausing' })
      await live.machine.pause()
      task.progress({ percent: 20, phase: 'saving memory' })
      const content = await live.machine.saveState()
      task.progress({ percent: 50, phase: 'writing memory', total: content.byteLength, unit: 'bytes' })
      await this.#store.putMemory(live.id, file, content)
      await live.keepDisks(this.#store, definition)
      if (task.signal.aborted) throw new JobCancelledError({ reason: 'it was cancelled before the memory was kept' })
      await this.#store.save({ ...definition, memory: { file, emulator: emulatorVersion(), isPaused: false } })
    } catch (error) {
      if (before === 'running') await live.goOn()
      await this.backTo(live, definition, before)
      throw error
    }
    await this.#leave(live, definition, 'suspended', 'request')
    return 'suspended'
  }

  /** After a failure: restores the former state, and removes files that were being made. */
  async backTo(live: LiveVm, definition: Definition, state: VmState): Promise<void> {
    try {
      await this.setState(live, definition, state)
      await this.#store.save(definition)
    } catch (error) {
      // The first failure is reported; this one may be a consequence of it.
      warn(definition, error)
    }
  }

  async pause(live: LiveVm, definition: Definition): Promise<VmState> {
    await live.machine.pause()
    await this.setState(live, definition, 'paused')
    return live.state
  }

  async resume(definition: Definition, live: LiveVm | undefined, task: Task): Promise<VmState> {
    if (live === undefined) return this.powerOn(definition, task)
    await live.resume()
    await this.setState(live, definition, 'running')
    return live.state
  }

  async reset(live: LiveVm, definition: Definition): Promise<VmState> {
    await live.machine.reset()
    await live.resume()
    if (live.state !== 'running') await this.setState(live, definition, 'running')
    return live.state
  }

  /** Takes the power away, or drops the saved state of a VM at rest. */
  async kill(definition: Definition, live: LiveVm | undefined): Promise<VmState> {
    if (live !== undefined) return this.#powerOff(live, definition)
    if (stateAtRest(definition) === 'stopped') return 'stopped'
    return this.#claims.withLease(definition, async (): Promise<VmState> => {
      await this.#store.save(withoutRest(definition))
      this.tell(definition, 'stopped', stateAtRest(definition))
      return 'stopped'
    })
  }

  async #powerOff(live: LiveVm, definition: Definition): Promise<VmState> {
    this.enter(live, definition, 'stopping')
    const isStill = await live.halt()
    try {
      if (isStill) await live.keepDisks(this.#store, definition)
      else warn(definition, 'its thread does not answer, and what is only in its memory is lost')
    } finally {
      await this.#leave(live, definition, 'stopped', 'request')
    }
    return 'stopped'
  }

  /** Ends the machine without keeping its disks. The claim on the VM stays. */
  async discard(live: LiveVm, definition: Definition): Promise<Lease> {
    this.enter(live, definition, 'stopping')
    this.#live.delete(live.id)
    await live.discard()
    return live.lease
  }

  /** Kills all machines, and waits for the operations on them. */
  async close(): Promise<void> {
    for (const live of this.#live.values()) await live.discard()
    await this.#exclusive.drain()
    for (const live of this.#live.values()) live.lease.release()
    this.#live.clear()
  }

  /** Announces the state of a VM that does not run. */
  tell(
    { id, name }: Pick<Definition, 'id' | 'name'>,
    state: VmState,
    previous: VmState,
    cause: { readonly reason: StateReason; readonly message?: string } = { reason: 'request' },
  ): void {
    this.#emit({ type: 'state', vmId: id, name, state, previous, ...cause, at: new Date() })
  }

  async #onEnd(live: LiveVm, end: MachineEnd): Promise<void> {
    await this.exclusively(live.id, async () => {
      // Another operation may have ended it before.
      if (this.#live.get(live.id) !== live) return
      const definition = await this.#store.get(live.id)
      if (definition === undefined) return
      let crash = end.how === 'crashed' ? end.error.message : undefined
      try {
        await live.keepDisks(this.#store, definition)
      } catch (error) {
        // The thread is gone, and with it all that the guest wrote since the start: that is a crash.
        crash ??= nativeError(error).message
      }
      if (crash === undefined) return this.#leave(live, definition, 'stopped', 'guest')
      try {
        await this.#store.save({ ...definition, hasCrashed: true })
      } finally {
        await this.#leave(live, definition, 'crashed', 'crash', crash)
      }
    })
  }

  #onDiskFull(live: LiveVm): Promise<void> {
    return this.exclusively(live.id, async () => {
      const definition = await this.#store.get(live.id)
      // An operation may have resumed or ended it before.
      if (definition === undefined || live.state !== 'running' || !live.lacksRoom) return
      await this.setState(live, definition, 'paused')
    })
  }

  /** The folder of a VM that runs here was removed. The VM is ended: no call could reach it any more. */
  #endRemoved(id: string): Promise<void> {
    return this.exclusively(id, async () => {
      const live = this.#live.get(id)
      if (live === undefined || (await this.#store.get(id)) !== undefined) return
      const { name } = live
      await this.#leave(live, { name }, 'stopped', 'request')
      this.#emit({ type: 'deleted', vmId: id, name, at: new Date() })
      warn(live, 'its folder was removed while it ran, and it was ended')
    })
  }

  async #leave(
    live: LiveVm,
    { name }: Pick<Definition, 'name'>,
    state: VmState,
    reason: StateReason,
    message?: string,
  ): Promise<void> {
    live.hasShutDown = reason === 'guest'
    await live.discard()
    live.lease.release()
    this.#live.delete(live.id)
    const previous = live.state
    live.state = state
    this.tell({ id: live.id, name }, state, previous, { reason, ...(message !== undefined && { message }) })
  }
}

const warn = ({ name }: Pick<Definition, 'name'>, error: unknown): void => {
  process.emitWarning(`VM ${JSON.stringify(name)}: ${String(error)}`, 'AwaitvmWarning')
}

const foreignMemory = (version: string): ProtocolError =>
  new ProtocolError({
    reason: `its memory was saved by v86 ${version}, and this is v86 ${emulatorVersion()}`,
    hint: "Resume it with that version, or drop the saved memory with vm.stop({ mode: 'kill' }).",
  })
