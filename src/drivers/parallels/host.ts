import type { VmEvent } from '../../model/vm-event.js'
import { ParallelsFailure } from './parallels-failure.js'
import { Inventory } from './inventory.js'
import { EventMonitor } from './event-monitor.js'
import type { MonitorEvent } from './monitor-lines.js'
import type { Prlctl } from './prlctl.js'
import type { ProgramRunner } from './program-runner.js'
import type { Transport } from './transport.js'
import { argumentOf } from './vm-id.js'
import type { VmInfo } from './vm-info.js'
import { stateOf } from './vm-states.js'

/** For how long a VM's configuration is not asked for again where it had not changed: asking may be told as a change. */
const firstQuietMs = 1000
const maxQuietMs = 60_000

/** What the parts of the driver share: the host's programs, and what it has said of its VMs. */
export class ParallelsHost {
  readonly prlctl: Prlctl
  readonly transport: Transport
  readonly inventory: Inventory
  readonly #runner: ProgramRunner
  readonly #listeners = new Set<(event: VmEvent) => void>()
  readonly #quiet = new Map<string, { until: number; forMs: number }>()
  /** VMs that the host has told of while others were being made. */
  readonly #heardMeanwhile = new Set<string>()
  #monitor: EventMonitor | undefined
  #listing: Promise<void> | undefined
  #isClosed = false

  constructor(prlctl: Prlctl, transport: Transport, runner: ProgramRunner) {
    this.prlctl = prlctl
    this.transport = transport
    this.#runner = runner
    this.inventory = new Inventory((event) => {
      for (const listener of this.#listeners) listener(event)
    })
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Subscribes, and then lists: what happens in between is told twice rather than never. */
  async open(): Promise<void> {
    const words = ['monitor-events', ...(this.prlctl.flavour === 'desktop' ? ['--json'] : [])]
    const listeners = {
      onEvents: (events: readonly MonitorEvent[]): void => {
        for (const event of events) this.#hear(event)
      },
      onListing: (): void => {
        this.#listAside()
      },
    }
    const { program, listEveryMs } = this.prlctl
    this.#monitor = new EventMonitor(this.transport, [program, ...words], listeners, listEveryMs)
    await this.list()
  }

  subscribe(listener: (event: VmEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Stops what runs on the host on behalf of this connection. */
  async stop(): Promise<void> {
    this.#isClosed = true
    await this.#monitor?.close()
    await this.#runner.stopAll()
  }

  async list(): Promise<VmInfo[]> {
    const askedAt = this.inventory.now()
    const infos = await this.prlctl.list()
    this.inventory.observeAll(infos, askedAt)
    return infos
  }

  /** Asks for a VM; one that is there no more is forgotten. */
  async look(vm: string, options?: { readonly isFull: boolean }): Promise<VmInfo> {
    const askedAt = this.inventory.now()
    try {
      const info = await this.prlctl.info(vm, options)
      this.inventory.observe(info.record, askedAt)
      return info
    } catch (error) {
      if (error instanceof ParallelsFailure && error.kind === 'vm-not-found') this.inventory.forget(vm)
      throw error
    }
  }

  /** The list of a VM's snapshots, as the host prints it. */
  async snapshots(vm: string, { isChange = false } = {}): Promise<string> {
    const words = this.prlctl.flavour === 'desktop' ? ['-j'] : []
    const told = await this.prlctl.read('snapshot-list', argumentOf(vm), ...words)
    this.inventory.observeSnapshots(vm, told, isChange)
    return told
  }

  /** Makes VMs of these names, which are not told of before they are whole. */
  async making<T>(names: readonly string[], action: () => Promise<T>): Promise<T> {
    try {
      return await this.inventory.making(names, action)
    } finally {
      const unknown = [...this.#heardMeanwhile].filter((vm) => !this.inventory.has(vm))
      if (!this.inventory.isMaking) this.#heardMeanwhile.clear()
      if (unknown.length > 0 && !this.inventory.isMaking) this.#listAside()
    }
  }

  /** What the host tells by itself is a hint to ask. */
  #hear({ vmId, kind, state }: MonitorEvent): void {
    const { inventory } = this
    // Whoever works on it asks at the end.
    if (this.#isClosed || inventory.isBusy(vmId)) return
    if (kind === 'list') this.#hearOfVm(vmId)
    if (!inventory.has(vmId)) return
    if (kind === 'state' && (state === undefined || stateOf(state) !== inventory.stateOf(vmId)))
      this.#aside(this.look(vmId))
    if (kind === 'config' && !this.#isQuiet(vmId)) this.#aside(this.#lookForChange(vmId))
    if (kind === 'snapshots') this.#aside(this.snapshots(vmId, { isChange: true }))
  }

  #hearOfVm(vmId: string): void {
    if (this.inventory.isMaking) this.#heardMeanwhile.add(vmId)
    else this.#listAside()
  }

  /** One list at a time, however much happens. */
  #listAside(): void {
    if (this.#isClosed || this.#listing !== undefined) return
    this.#listing = this.list().then(
      () => undefined,
      () => undefined,
    )
    void this.#listing.finally(() => {
      this.#listing = undefined
    })
  }

  /** The next listing makes up for what can't be asked now. */
  #aside(work: Promise<unknown>): void {
    work.catch(() => undefined)
  }

  #isQuiet(vm: string): boolean {
    return (this.#quiet.get(vm)?.until ?? 0) > performance.now()
  }

  /** Asks for a VM whose configuration is said to have changed, ever more rarely where it has not. */
  async #lookForChange(vm: string): Promise<void> {
    const forMs = Math.min(2 * (this.#quiet.get(vm)?.forMs ?? firstQuietMs / 2), maxQuietMs)
    this.#quiet.set(vm, { until: performance.now() + forMs, forMs })
    const before = this.inventory.configOf(vm)
    await this.look(vm)
    if (this.inventory.configOf(vm) !== before) this.#quiet.delete(vm)
  }
}
