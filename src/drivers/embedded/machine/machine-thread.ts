import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { SHARE_ENV, Worker } from 'node:worker_threads'
import { emulatorCode, keepCodeCache } from './emulator-code.js'
import { fromFailure } from './failure.js'
import { LoadSlots } from './load-slots.js'
import type { MachineThreadData } from './machine-server.js'
import { SpareThread } from './spare-thread.js'
import type {
  Frame,
  MachineCalls,
  MachineEvents,
  MachineMessage,
  MachineSpec,
  MachineStatistics,
  RequestMessage,
} from './protocol.js'

/** The machine or its thread has crashed with `cause`; it handles no more requests. */
export class MachineCrashedError extends Error {
  override readonly name = 'MachineCrashedError'

  constructor(cause: Error) {
    super(`The virtual machine crashed: ${cause.message}`, { cause })
  }
}

/** The thread was ended before it answered the request. */
export class MachineTerminatedError extends Error {
  override readonly name = 'MachineTerminatedError'

  constructor() {
    super('The virtual machine was terminated')
  }
}

interface Pending {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/** Threads that start at once slow each other down: 50 at once took 10 s of CPU time, two at a time 6 s. */
const loadSlots = new LoadSlots(availableParallelism())

/** A machine in its own worker thread. Made by {@link MachineThread.spawn}, loaded and paused. */
export class MachineThread {
  /** Settles when the thread is gone. Never rejects. */
  readonly exited: Promise<void>
  readonly #worker: Worker
  readonly #pending = new Map<number, Pending>()
  readonly #ready: Promise<void>
  #settleReady: Pending | undefined
  #events: MachineEvents = {}
  #nextId = 1
  /** Why the machine handles no more requests, except those for its disks. */
  #crash: MachineCrashedError | undefined
  /** Why the thread handles no more requests. */
  #end: Error | undefined

  private constructor(data: MachineThreadData) {
    this.#ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve: () => resolve(), reject }
    })
    this.#worker = new Worker(createRequire(import.meta.url).resolve('#embedded-worker'), {
      workerData: data,
      // The thread needs neither the environment nor the options of this process; copying them takes time.
      env: SHARE_ENV,
      execArgv: [],
    })
    this.exited = new Promise((resolve) => {
      this.#worker.once('exit', (code) => {
        this.#stop(new MachineCrashedError(new Error(`its thread exited with code ${String(code)}`)))
        this.#worker.removeAllListeners()
        resolve()
      })
    })
    this.#worker.on('message', (message: MachineMessage) => this.#receive(message))
    this.#worker.on('error', (error: unknown) => {
      this.#stop(new MachineCrashedError(error instanceof Error ? error : new Error(String(error))))
    })
  }

  /** Keeps a thread ready from some time on until `close`, so that a machine can be loaded at once. */
  static open(): void {
    spareThread.open()
  }

  /** Waits until a thread is ready. */
  static ready(): Promise<void> {
    return spareThread.ready()
  }

  static close(): Promise<void> {
    return spareThread.close()
  }

  /** A thread that has the emulator, and no machine yet. It keeps no process alive. The signal ends it before it is ready. */
  static async start(signal?: AbortSignal): Promise<MachineThread> {
    const code = await emulatorCode()
    signal?.throwIfAborted()
    const thread = new MachineThread({ code })
    const end = (): void => thread.#refuseAll(new MachineTerminatedError())
    signal?.addEventListener('abort', end, { once: true })
    try {
      await thread.#ready
      thread.#worker.unref()
      return thread
    } catch (error) {
      await thread.terminate()
      throw error
    } finally {
      signal?.removeEventListener('abort', end)
    }
  }

  /**
   * Loads a machine into a thread, without running it.
   *
   * @throws BootImageError, DiskError, SavedStateError or MachineCrashedError; then no thread is left
   */
  static spawn(spec: MachineSpec, events: MachineEvents): Promise<MachineThread> {
    return loadSlots.run(async () => {
      const thread = await spareThread.take()
      thread.#worker.ref()
      thread.#events = events
      try {
        await thread.#call('load', spec)
        if (!loadSlots.isContended) spareThread.replenish()
        return thread
      } catch (error) {
        await thread.terminate()
        throw error
      }
    })
  }

  /** Runs the machine for the first time. The same as `resume`. */
  async start(): Promise<void> {
    await this.#call('start')
  }

  /**
   * Stops the guest until `resume`, and writes its data to its disks. If the host has no room for that, it rejects with a
   * DiskError, and the guest is paused all the same.
   */
  async pause(): Promise<void> {
    await this.#call('pause')
  }

  /** Rejects with a DiskError, and stays paused, if the host has no room for what the guest wrote. */
  async resume(): Promise<void> {
    await this.#call('resume')
  }

  /** Starts the guest anew with the same disks, as the reset button does. A paused machine stays paused. */
  async reset(): Promise<void> {
    await this.#call('reset')
  }

  async pressPowerButton(): Promise<void> {
    await this.#call('pressPowerButton')
  }

  /** `true` if the guest had not acknowledged the press, and now never will; `false` if it had. */
  withdrawPowerButton(): Promise<boolean> {
    return this.#call('withdrawPowerButton')
  }

  /**
   * Settles when the guest's serial port has taken the bytes, or when they were lost by a reset or power off.
   * Wait for it before sending more: beyond 1 MiB that the guest does not read it rejects with InputFullError.
   */
  async sendSerial(bytes: Uint8Array): Promise<void> {
    await this.#call('sendSerial', bytes)
  }

  /** The same for the second serial port. */
  async sendPort(bytes: Uint8Array): Promise<void> {
    await this.#call('sendPort', bytes)
  }

  /** Settles when the guest's keyboard controller has taken the scancodes. */
  async sendScancodes(codes: readonly number[]): Promise<void> {
    await this.#call('sendScancodes', codes)
  }

  /** The state for `MachineSpec.initialState` of a later machine. This machine stays as it is, running or paused. */
  saveState(): Promise<Uint8Array> {
    return this.#call('saveState')
  }

  /** A memory overlay, for `DiskOverlaySpec.content` of a later machine. Works when the guest is off or crashed as well. */
  exportDisk(index: number): Promise<Uint8Array> {
    return this.#call('exportDisk', index)
  }

  screenshot(): Promise<Frame> {
    return this.#call('screenshot')
  }

  statistics(): Promise<MachineStatistics> {
    return this.#call('statistics')
  }

  /** Ends the thread, like pulling the plug. Pending requests reject. Can be called several times. */
  async terminate(): Promise<void> {
    this.#refuseAll(new MachineTerminatedError())
    await this.#worker.terminate()
    await this.exited
  }

  #call<Method extends keyof MachineCalls>(
    method: Method,
    ...args: Parameters<MachineCalls[Method]>
  ): Promise<ReturnType<MachineCalls[Method]>> {
    const refusal = this.#end ?? (method === 'exportDisk' ? undefined : this.#crash)
    if (refusal !== undefined) return Promise.reject(refusal)
    return new Promise((resolve, reject) => {
      const id = this.#nextId++
      this.#pending.set(id, { resolve: (value) => resolve(value as ReturnType<MachineCalls[Method]>), reject })
      const request = { type: 'request', id, method, args } as RequestMessage
      this.#worker.postMessage(request)
    })
  }

  #receive(message: MachineMessage): void {
    if (this.#end !== undefined) return
    switch (message.type) {
      case 'ready':
        this.#settleReady?.resolve(undefined)
        this.#settleReady = undefined
        return
      case 'value':
        this.#take(message.id)?.resolve(message.value)
        return
      case 'failure':
        this.#take(message.id)?.reject(fromFailure(message.failure))
        return
      case 'output':
        this.#events.output?.(message.bytes)
        return
      case 'portOutput':
        this.#events.portOutput?.(message.bytes)
        return
      case 'codeCache':
        if (message.bytes !== undefined) keepCodeCache(message.bytes)
        return
      case 'powerOff':
        this.#events.powerOff?.(message.reason)
        return
      case 'reset':
        this.#events.reset?.()
        return
      case 'diskFull':
        this.#events.diskFull?.(fromFailure(message.failure))
        return
      case 'crash':
        this.#reportCrash(new MachineCrashedError(fromFailure(message.failure)))
    }
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    return pending
  }

  /** The thread has ended by itself. */
  #stop(error: MachineCrashedError): void {
    if (this.#end !== undefined) return
    this.#refuseAll(error)
    this.#reportCrash(error)
  }

  #reportCrash(error: MachineCrashedError): void {
    if (this.#crash !== undefined) return
    this.#crash = error
    this.#rejectPending(error)
    this.#events.crash?.(error)
  }

  #refuseAll(error: Error): void {
    this.#end ??= error
    this.#settleReady?.reject(error)
    this.#settleReady = undefined
    this.#rejectPending(error)
  }

  #rejectPending(error: Error): void {
    const pending = [...this.#pending.values()]
    this.#pending.clear()
    for (const { reject } of pending) reject(error)
  }
}

const spareThread = new SpareThread((signal) => MachineThread.start(signal))
