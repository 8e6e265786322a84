import { ConsoleBuffer } from '../../console/console-buffer.js'
import type { VmError } from '../../errors.js'
import { freshMemory, pressPowerButton, readyLine, receive, typeScancodes, type GuestMemory } from './serial-guest.js'

/** The disk of a machine. */
export interface MachineDisk {
  readDisk(): number | undefined
  writeDisk(byte: number): boolean
}

/** Hears of a machine that ends by itself. */
export interface MachineWatcher<D extends MachineDisk> {
  poweredOff(owner: D): void
  crashed(owner: D, message: string): void
}

/** A test's own guest: gets what is typed, instead of the built-in guest. */
export type InputHandler = (text: string) => void

interface Input {
  readonly text: string
  readonly taken: () => void
}

const sectorBytes = 512
/** Most consoles are never opened. Until then, this many characters of the guest's output are kept as a string. */
const maxSaid = 4096

/** A running machine: the guest's memory, its console, and what waits for its end. */
export class SimulatedMachine<D extends MachineDisk = MachineDisk> {
  readonly startedAtMs: number
  readonly #owner: D
  readonly #watcher: MachineWatcher<D>
  #memory: GuestMemory | undefined
  #said: string
  #buffer: ConsoleBuffer | undefined
  #pending: Input[] | undefined
  #waiting: Set<() => void> | undefined
  #programs: Set<() => void> | undefined
  #ports: Map<number, number> | undefined
  #portListeners: Set<() => void> | undefined
  isPaused = false
  /** Why the host itself has paused it; `undefined` if it has not. */
  problem: VmError | undefined
  hasEnded = false
  /** True if the guest itself has powered off. */
  hasShutDown = false
  diskReadBytes = 0
  diskWrittenBytes = 0

  /** @param memory the memory that the guest goes on with; if absent, the guest boots */
  constructor(owner: D, watcher: MachineWatcher<D>, startedAtMs: number, memory?: GuestMemory) {
    this.#owner = owner
    this.#watcher = watcher
    this.startedAtMs = startedAtMs
    this.#memory = memory === undefined ? undefined : { ...memory }
    this.#said = memory === undefined ? readyLine : ''
  }

  /** A copy of the guest's memory. */
  get memory(): GuestMemory {
    return { ...this.#guest }
  }

  /** True if the guest obeys the power button. */
  get obeysPowerButton(): boolean {
    return this.#memory === undefined || !(this.#memory.isDeaf || this.#memory.staysOn)
  }

  get console(): ConsoleBuffer {
    if (this.#buffer === undefined) {
      this.#buffer = new ConsoleBuffer()
      this.#buffer.append(Buffer.from(this.#said, 'utf8'))
      this.#said = ''
    }
    return this.#buffer
  }

  print(text: string): void {
    if (this.#buffer !== undefined) this.#buffer.append(Buffer.from(text, 'utf8'))
    else if (this.#said.length + text.length <= maxSaid) this.#said += text
    else this.console.append(Buffer.from(text, 'utf8'))
  }

  /** Types on the console. Settles once the guest has read it; a paused guest reads it when it is resumed. */
  async type(text: string, handler: InputHandler | undefined): Promise<void> {
    if (this.hasEnded) return
    if (!this.isPaused) {
      this.#take(text, handler)
      return
    }
    await new Promise<void>((taken) => (this.#pending ??= []).push({ text, taken }))
  }

  press(codes: readonly number[]): void {
    typeScancodes(codes, this.#hardware)
  }

  pressPowerButton(): 'off' | 'refused' | 'ignored' {
    return pressPowerButton(this.#guest, this.#hardware)
  }

  pause(): void {
    this.isPaused = true
  }

  resume(handler: InputHandler | undefined): void {
    this.isPaused = false
    this.problem = undefined
    const pending = this.#pending ?? []
    this.#pending = undefined
    for (const { text, taken } of pending) {
      if (!this.hasEnded) this.#take(text, handler)
      taken()
    }
  }

  reset(): void {
    this.#memory = undefined
    this.isPaused = false
    this.problem = undefined
    for (const { taken } of this.#pending ?? []) taken()
    this.#pending = undefined
    this.print(readyLine)
    this.#tellLifeEnd()
  }

  /** Calls the listener when the present guest ends, also by a reset, unless the returned function is called before. */
  onLifeEnd(listener: () => void): () => void {
    const programs = (this.#programs ??= new Set())
    programs.add(listener)
    return () => void programs.delete(listener)
  }

  /** Something in the guest listens on a TCP port, until the returned function is called or the guest ends. */
  listen(port: number): () => void {
    const ports = (this.#ports ??= new Map<number, number>())
    ports.set(port, (ports.get(port) ?? 0) + 1)
    for (const listener of this.#portListeners ?? []) listener()
    return () => {
      const count = ports.get(port) ?? 0
      if (count > 1) ports.set(port, count - 1)
      else ports.delete(port)
    }
  }

  isListening(port: number): boolean {
    return this.#ports?.has(port) ?? false
  }

  /** Calls the listener when something begins to listen, until the returned function is called. */
  onListening(listener: () => void): () => void {
    const listeners = (this.#portListeners ??= new Set())
    listeners.add(listener)
    return () => void listeners.delete(listener)
  }

  /** Calls the listener when the machine has ended, unless the returned function is called before. */
  onEnd(listener: () => void): () => void {
    const waiting = (this.#waiting ??= new Set())
    waiting.add(listener)
    return () => void waiting.delete(listener)
  }

  /** Ends the machine. Call {@link tellEnd} once the VM has its new state. */
  end(): void {
    this.hasEnded = true
    this.#buffer?.close()
    for (const { taken } of this.#pending ?? []) taken()
    this.#pending = undefined
  }

  /** Tells the listeners that the machine has ended. */
  tellEnd(): void {
    this.#tellLifeEnd()
    for (const listener of this.#waiting ?? []) listener()
    this.#waiting = undefined
  }

  #tellLifeEnd(): void {
    this.#ports = undefined
    for (const listener of this.#programs ?? []) listener()
    this.#programs = undefined
  }

  get #guest(): GuestMemory {
    return (this.#memory ??= freshMemory())
  }

  #take(text: string, handler: InputHandler | undefined): void {
    if (handler === undefined) receive(text, this.#guest, this.#hardware)
    else handler(text)
  }

  get #hardware() {
    const owner = this.#owner
    return {
      print: (text: string): void => {
        this.print(text)
      },
      readDisk: (): number | undefined => {
        const byte = owner.readDisk()
        if (byte !== undefined) this.diskReadBytes += sectorBytes
        return byte
      },
      writeDisk: (byte: number): boolean => {
        const isThere = owner.writeDisk(byte)
        if (isThere) this.diskWrittenBytes += sectorBytes
        return isThere
      },
      powerOff: (): void => {
        this.#watcher.poweredOff(owner)
      },
      reset: (): void => {
        this.reset()
      },
      crash: (): void => {
        this.#watcher.crashed(owner, 'triple fault')
      },
    }
  }
}
