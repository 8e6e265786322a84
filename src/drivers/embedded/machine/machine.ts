import { ByteCollector } from './byte-collector.js'
import type { Disk } from './disk.js'
import type { EmulatorCode } from './emulator-code.js'
import { Emulator, type EmulatorHooks } from './emulator.js'
import { emulatorOptions } from './emulator-options.js'
import { GuestInput } from './guest-input.js'
import { GuestStop } from './guest-stop.js'
import { MachineStoppedError } from './machine-stopped-error.js'
import { type OpenedMedia, openMedia } from './media.js'
import type { PacedQueue } from './paced-queue.js'
import { PowerManagement } from './power-management.js'
import type { Frame, MachineEvents, MachineSpec, MachineStatistics } from './protocol.js'
import { decodeSavedState, encodeSavedState, SavedStateError } from './saved-state.js'
import { captureScreen } from './screenshot.js'
import { threadCpuMs } from './thread-cpu.js'

type Phase = 'paused' | 'running' | 'off' | 'crashed' | 'disposed'

/** One virtual machine, run by the event loop of the current thread. Made by {@link Machine.load}, paused. */
export class Machine {
  readonly #spec: MachineSpec
  readonly #code: EmulatorCode
  readonly #events: MachineEvents
  readonly #disks: readonly Disk[]
  readonly #cdrom: Disk | undefined
  readonly #floppies: readonly (ArrayBuffer | undefined)[]
  readonly #input = new GuestInput()
  #emulator: Emulator | undefined
  #power: PowerManagement
  #phase: Phase = 'paused'
  readonly #output = new ByteCollector()
  readonly #portOutput = new ByteCollector()
  #lastOperation: Promise<unknown> = Promise.resolve()
  /** Set from a write without room until all is written. */
  #lacksRoom = false
  /** How the guest ended while blocks were still to be written. */
  #heldEnd: { readonly error: unknown } | undefined
  #ranMs = 0
  #runningSince: number | undefined

  private constructor(spec: MachineSpec, code: EmulatorCode, events: MachineEvents, opened: OpenedMedia) {
    this.#spec = spec
    this.#code = code
    this.#events = events
    this.#disks = opened.disks
    this.#cdrom = opened.cdrom
    this.#floppies = opened.floppies
    this.#power = this.#newPowerManagement()
  }

  /**
   * Loads a machine, without running it.
   *
   * @throws BootImageError, DiskError or SavedStateError if it can't be made as the spec says
   */
  static async load(spec: MachineSpec, code: EmulatorCode, events: MachineEvents): Promise<Machine> {
    const opened = openMedia(spec)
    const machine = new Machine(spec, code, events, opened)
    try {
      await machine.#build(spec.initialState)
      return machine
    } catch (error) {
      await machine.dispose()
      throw error
    }
  }

  /** Runs it for the first time. The same as `resume`. */
  async start(): Promise<void> {
    await this.resume()
  }

  /** @throws DiskError if the host has no room for what the guest wrote; it stays paused */
  async resume(): Promise<void> {
    await this.#enqueue(async (emulator) => {
      this.#flushDisks()
      if (this.#phase === 'running') return
      this.#setRunning(true)
      this.#feedInput()
      emulator.run()
    })
  }

  /** @throws DiskError if the host has no room for what the guest wrote; it is paused all the same */
  async pause(): Promise<void> {
    await this.#enqueue(async (emulator) => {
      await this.#halt(emulator)
      this.#flushDisks()
    })
  }

  /** Starts the guest anew with the same disks, as the reset button does. A paused machine stays paused. */
  async reset(): Promise<void> {
    await this.#enqueue(() => this.#rebuild())
  }

  async saveState(): Promise<Uint8Array> {
    return this.#enqueue(async (emulator) => {
      this.#flushDisks()
      this.#flushOutput()
      const { memoryMiB } = this.#spec
      return encodeSavedState({ memoryMiB, power: this.#power.state }, emulator.saveState())
    })
  }

  async pressPowerButton(): Promise<void> {
    await this.#enqueue(async () => this.#power.pressPowerButton())
  }

  /** `true` if the guest had not acknowledged the press, and now never will; `false` if it had. */
  async withdrawPowerButton(): Promise<boolean> {
    return this.#enqueue(async () => this.#power.withdrawPowerButton())
  }

  /** Settles when the guest's serial port has taken the bytes, or when they were lost by a reset or power off. */
  async sendSerial(bytes: Uint8Array): Promise<void> {
    await this.#send(this.#input.serial, bytes)
  }

  /** The same for the second serial port. */
  async sendPort(bytes: Uint8Array): Promise<void> {
    await this.#send(this.#input.port, bytes)
  }

  async sendScancodes(codes: readonly number[]): Promise<void> {
    await this.#send(this.#input.keys, codes)
  }

  async screenshot(): Promise<Frame> {
    return this.#enqueue(async (emulator) => captureScreen(emulator))
  }

  async statistics(): Promise<MachineStatistics> {
    return this.#enqueue(async (emulator) => ({
      instructions: emulator.instructions,
      cpuTimeMs: threadCpuMs(),
      uptimeMs: this.#ranMs + (this.#runningSince === undefined ? 0 : performance.now() - this.#runningSince),
      diskReadBytes: this.#disks.reduce((sum, disk) => sum + disk.bytesRead, this.#cdrom?.bytesRead ?? 0),
      diskWriteBytes: this.#disks.reduce((sum, disk) => sum + disk.bytesWritten, 0),
    }))
  }

  /** The changes of a disk whose overlay is in memory. Works when the guest is off as well. */
  async exportDisk(index: number): Promise<Uint8Array<ArrayBuffer>> {
    const disk = this.#disks[index]
    if (disk === undefined) throw new RangeError(`The machine has no disk ${String(index)}`)
    return disk.exportOverlay()
  }

  /** Ends it, like pulling the plug. Can be called several times. */
  async dispose(): Promise<void> {
    this.#phase = 'disposed'
    this.#output.take()
    this.#portOutput.take()
    await this.#discardEmulator()
    for (const disk of this.#disks) disk.close()
    this.#cdrom?.close()
  }

  /** Runs one operation at a time: none may see a machine that is half built. */
  #enqueue<T>(operation: (emulator: Emulator) => Promise<T>): Promise<T> {
    const result = this.#lastOperation.then(async () => {
      if (this.#emulator === undefined) throw new MachineStoppedError()
      return operation(this.#emulator)
    })
    this.#lastOperation = result.catch(() => undefined)
    return result
  }

  async #halt(emulator: Emulator): Promise<void> {
    if (this.#phase !== 'running') return
    await emulator.pause()
    // It may have powered off by now.
    if (this.#emulator === emulator) this.#setRunning(false)
  }

  /** Pauses the guest if the host has no room for what it wrote. */
  #checkRoom(): void {
    const error = this.#lacksRoom ? undefined : this.#disks.find((disk) => disk.noRoom !== undefined)?.noRoom
    if (error === undefined) return
    this.#lacksRoom = true
    this.#events.diskFull?.(error)
    const paused = this.#enqueue(async (emulator) => {
      // An earlier operation may have found room.
      if (this.#lacksRoom) await this.#halt(emulator)
    })
    // Rejects only if the machine was ended.
    void paused.catch(() => undefined)
  }

  /** Writes the blocks that the host had no room for; then reports the end of a guest that has ended since. */
  #flushDisks(): void {
    for (const disk of this.#disks) disk.flush()
    this.#lacksRoom = false
    const end = this.#heldEnd
    if (end === undefined) return
    this.#heldEnd = undefined
    this.#guestStopped(end.error)
    throw new MachineStoppedError()
  }

  async #build(initialState: Uint8Array | undefined): Promise<void> {
    const media = { disks: this.#disks, cdrom: this.#cdrom, floppies: this.#floppies }
    const saved = initialState && decodeSavedState(initialState, this.#spec.memoryMiB)
    const options = emulatorOptions(this.#spec, this.#code, media, { loadsBootImage: saved === undefined })
    const emulator = await Emulator.load(options, this.#hooks())
    this.#emulator = emulator
    this.#power = this.#newPowerManagement()
    if (initialState === undefined || saved === undefined) return
    this.#power.restore(saved.power)
    try {
      emulator.restoreState(initialState)
      emulator.changeMedia(this.#spec.changedDrives ?? [], media)
    } catch (cause) {
      throw new SavedStateError('is damaged, or of another version of the emulator', { cause })
    }
  }

  async #rebuild(): Promise<void> {
    const wasRunning = this.#phase === 'running'
    this.#heldEnd = undefined
    await this.#discardEmulator()
    try {
      await this.#build(undefined)
    } catch (error) {
      this.#crash(error)
      return
    }
    if (this.#phase === 'disposed') {
      await this.#discardEmulator()
      return
    }
    this.#events.reset?.()
    if (wasRunning) this.#emulator?.run()
  }

  async #discardEmulator(): Promise<void> {
    this.#input.clear()
    const emulator = this.#emulator
    this.#emulator = undefined
    if (emulator === undefined) return
    // Its `stop` is not awaited: a crashed emulator answers it late.
    await emulator.pause()
    await emulator.destroy()
  }

  #newPowerManagement(): PowerManagement {
    return new PowerManagement({
      setIrq: (irq, raised) => this.#emulator?.setIrq(irq, raised),
      powerOff: () => {
        throw new GuestStop('acpi')
      },
      reset: () => {
        throw new GuestStop('reset')
      },
    })
  }

  #hooks(): EmulatorHooks {
    return {
      readPort: (port, bytes) => this.#power.read(port, bytes),
      writePort: (port, bytes, value) => this.#power.write(port, bytes, value),
      serialOutput: (byte) => this.#output.push(byte),
      portOutput: (byte) => this.#portOutput.push(byte),
      sliceEnded: () => {
        this.#flushOutput()
        this.#checkRoom()
        return this.#feedInput()
      },
      halted: () => {
        throw new GuestStop('halted')
      },
      died: (error) => this.#guestStopped(error),
    }
  }

  #guestStopped(error: unknown): void {
    const isReset = error instanceof GuestStop && error.action === 'reset'
    if (this.#lacksRoom && !isReset) {
      this.#heldEnd = { error }
    } else if (!(error instanceof GuestStop)) {
      this.#crash(error)
    } else if (error.action === 'reset') {
      // Rejects only if the machine was ended: a rebuild that fails is reported as a crash.
      void this.#enqueue(() => this.#rebuild()).catch(() => undefined)
    } else {
      this.#end('off')
      this.#events.powerOff?.(error.action)
    }
  }

  #crash(error: unknown): void {
    if (this.#phase === 'disposed') return
    this.#end('crashed')
    const isCpuFault = error instanceof Error && error.name === 'RuntimeError'
    const message = isCpuFault
      ? "The guest's CPU shut down: a fault while it handled a fault (triple fault), or an instruction that is not emulated"
      : `The emulator failed: ${error instanceof Error ? error.message : String(error)}`
    this.#events.crash?.(new Error(message, { cause: error }))
  }

  #end(phase: 'off' | 'crashed'): void {
    this.#setRunning(false)
    this.#phase = phase
    // The end of the guest was reported; a later failure of its emulator does not matter.
    void this.#discardEmulator().catch(() => undefined)
  }

  #setRunning(running: boolean): void {
    this.#phase = running ? 'running' : 'paused'
    if (running) {
      this.#runningSince = performance.now()
    } else if (this.#runningSince !== undefined) {
      this.#ranMs += performance.now() - this.#runningSince
      this.#runningSince = undefined
    }
  }

  #flushOutput(): void {
    const bytes = this.#output.take()
    if (bytes !== undefined) this.#events.output?.(bytes)
    const portBytes = this.#portOutput.take()
    if (portBytes !== undefined) this.#events.portOutput?.(portBytes)
  }

  async #send(queue: PacedQueue, values: ArrayLike<number>): Promise<void> {
    let taken: Promise<void> | undefined
    await this.#enqueue(async () => {
      taken = queue.push(values)
      // The `await` below handles it, but maybe later than Node expects.
      taken.catch(() => undefined)
      this.#feedInput()
    })
    await taken
  }

  /** `true` if the guest was given input. */
  #feedInput(): boolean {
    const emulator = this.#emulator
    if (emulator === undefined || this.#phase !== 'running') return false
    return this.#input.feed(emulator)
  }
}
