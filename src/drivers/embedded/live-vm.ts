import { setTimeout as delay } from 'node:timers/promises'
import type { VmError } from '../../errors.js'
import { diskFull } from '../../errors/disk-full.js'
import type { MediaConfig } from '../../model/vm-config.js'
import type { VmState } from '../../model/vm-state.js'
import type { Definition } from './definition.js'
import { embeddedError, nativeError } from './embedded-errors.js'
import { diskBytes } from '../../files/image-record.js'
import { ConsoleBuffer } from '../../console/console-buffer.js'
import { GuestPort } from './guest-port/guest-port.js'
import { isGone } from './machine/is-gone.js'
import { MachineCrashedError, MachineTerminatedError, MachineThread } from './machine/machine-thread.js'
import type { DiskSpec, MachineBoot, MediumSpec } from './machine/protocol.js'
import type { Lease, EmbeddedStore } from './embedded-store.js'

/** How a machine ended by itself. */
export type MachineEnd = { readonly how: 'off' } | { readonly how: 'crashed'; readonly error: Error }

/** How long a machine may take to pause before its thread is ended without that. */
const pauseTimeoutMs = 5000

/** What a machine boots, and the saved memory that it resumes from. */
export interface MachineParts {
  readonly boot: MachineBoot
  readonly initialState?: Uint8Array | undefined
}

/** A VM that this process runs: its machine, its console and the claim on it. */
export class LiveVm {
  readonly id: string
  /** Its name when it was started. */
  readonly name: string
  readonly lease: Lease
  readonly console: ConsoleBuffer
  readonly machine: MachineThread
  /** The way to the guest program. */
  readonly port: GuestPort
  readonly startedAt = performance.now()
  /** Settles when the guest powers off, or the machine crashes; never if the machine is ended before. */
  readonly ended: Promise<MachineEnd>
  /** Settles when the machine has been ended. */
  readonly gone: Promise<void>
  /** Called when the machine pauses because the host has no room for what its guest writes. */
  onDiskFull: () => void = () => undefined
  #diskFull: VmError | undefined
  #leave: () => void = () => undefined
  /** The state at present. */
  state: VmState
  /** Whether the guest powered off by itself; set when the machine has ended. */
  hasShutDown = false

  private constructor(
    { id, name }: Definition,
    lease: Lease,
    machine: MachineThread,
    console: ConsoleBuffer,
    ended: Promise<MachineEnd>,
    state: VmState,
  ) {
    this.id = id
    this.name = name
    this.lease = lease
    this.machine = machine
    this.port = new GuestPort({ send: (bytes) => this.#sendToPort(bytes), isRunning: () => this.state === 'running' })
    this.console = console
    this.ended = ended
    this.state = state
    this.gone = new Promise((resolve) => {
      this.#leave = resolve
    })
  }

  /** Loads the machine; it does not run yet. */
  static async load(
    store: EmbeddedStore,
    definition: Definition,
    lease: Lease,
    state: VmState,
    parts: MachineParts,
  ): Promise<LiveVm> {
    const { hardware } = definition
    const console = new ConsoleBuffer()
    let end: (end: MachineEnd) => void
    const ended = new Promise<MachineEnd>((resolve) => {
      end = resolve
    })
    const machine = await spawned(
      MachineThread.spawn(
        {
          memoryMiB: hardware.memoryMiB,
          boot: parts.boot,
          disks: await disksOf(store, definition),
          cdrom: mediumOf(hardware.cdroms[0]),
          floppies: hardware.floppies.map(mediumOf),
          bootOrder: hardware.boot.order,
          initialState: parts.initialState,
          changedDrives: definition.memory?.changedDrives,
        },
        {
          output: (bytes) => {
            console.append(bytes)
          },
          portOutput: (bytes) => {
            live.port.receive(bytes)
          },
          reset: () => {
            live.port.reset()
          },
          powerOff: () => {
            end({ how: 'off' })
          },
          diskFull: (error) => {
            live.pauseForRoom(error)
          },
          crash: (error) => {
            end({ how: 'crashed', error })
          },
        },
      ),
    )
    // The guest does not run yet, so no callback needs `live` before it is set.
    const live = new LiveVm(definition, lease, machine, console, ended, state)
    return live
  }

  /** Why the machine has paused by itself, while it is paused. */
  get problem(): VmError | undefined {
    return this.state === 'paused' ? this.#diskFull : undefined
  }

  /** Whether the host had no room for what the guest wrote, and the machine has not been resumed since. */
  get lacksRoom(): boolean {
    return this.#diskFull !== undefined
  }

  /** Rejects with a DiskError, and stays paused, if the host has no room for what the guest wrote. */
  async resume(): Promise<void> {
    await this.machine.resume()
    this.#diskFull = undefined
  }

  /** Resumes a guest that ran before, unless it has to wait for room. */
  async goOn(): Promise<void> {
    if (!this.lacksRoom) await this.resume()
  }

  /** Runs an action on the disks while the guest is paused. */
  async whileStill<T>(isRunning: boolean, action: () => Promise<T>): Promise<T> {
    await this.machine.pause()
    try {
      return await action()
    } finally {
      if (isRunning) await this.goOn()
    }
  }

  /** Stores the overlays that are only in the machine's memory. */
  async keepDisks(store: EmbeddedStore, definition: Definition): Promise<void> {
    await this.captureDisks(store, definition, definition.id, (overlay) => overlay)
  }

  /** Writes the disks as they are now, under the names that `nameOf` gives them. */
  async captureDisks(
    store: EmbeddedStore,
    definition: Definition,
    toId: string,
    nameOf: (overlay: string) => string,
  ): Promise<void> {
    for (const [index, { overlay }] of definition.hardware.disks.entries()) {
      const file = nameOf(overlay)
      const { kind } = await store.overlay(definition.id, overlay)
      if (kind === 'memory') await store.putOverlay(toId, file, await this.machine.exportDisk(index))
      else if (file !== overlay || toId !== definition.id) {
        await store.copyOverlay({ id: definition.id, file: overlay }, { id: toId, file })
      }
    }
  }

  /** Pauses the machine; false if it does not pause in time. */
  async halt(): Promise<boolean> {
    const timeout = new AbortController()
    // Off, crashed or ended already: that is as good as paused.
    const still = this.machine.pause().then(
      () => true,
      () => true,
    )
    const late = delay(pauseTimeoutMs, false, timeout)
    const isStill = await Promise.race([still, late])
    timeout.abort()
    return isStill
  }

  /** Sends input to the serial port. Input to a machine that ends is lost; the end of the console tells that. */
  async type(bytes: Uint8Array): Promise<void> {
    try {
      await this.machine.sendSerial(bytes)
    } catch (error) {
      if (!isGone(error)) throw embeddedError(error)
    }
  }

  async #sendToPort(bytes: Uint8Array): Promise<void> {
    try {
      await this.machine.sendPort(bytes)
    } catch (error) {
      // The port is closed with the machine, and that ends what waits for an answer.
      if (!isGone(error)) throw embeddedError(error)
    }
  }

  /** Called when the machine pauses because the host has no room. */
  pauseForRoom(error: Error): void {
    this.#diskFull = diskFull(nativeError(error))
    this.onDiskFull()
  }

  /** Ends the machine. */
  async discard(): Promise<void> {
    await this.machine.terminate()
    this.console.close()
    this.port.close(new MachineTerminatedError())
    this.#leave()
  }
}

async function disksOf(store: EmbeddedStore, { id, hardware }: Definition): Promise<DiskSpec[]> {
  const disks: DiskSpec[] = []
  for (const disk of hardware.disks) {
    disks.push({
      base: disk.image,
      sizeBytes: diskBytes(disk, hardware),
      overlay: await store.overlay(id, disk.overlay),
    })
  }
  return disks
}

/** A thread that crashes while it loads is no crash of the VM, which has not run. */
async function spawned(machine: Promise<MachineThread>): Promise<MachineThread> {
  try {
    return await machine
  } catch (error) {
    throw error instanceof MachineCrashedError ? embeddedError(error) : error
  }
}

/** The medium in a drive; `undefined` if it is empty. */
const mediumOf = (drive: MediaConfig | undefined): MediumSpec | undefined =>
  drive?.image === undefined ? undefined : { path: drive.image }
