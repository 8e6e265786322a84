import type { VmRecord } from '../../model/vm-record.js'
import type { VmEvent } from '../../model/vm-event.js'
import { isDraft } from './draft.js'
import { ParallelsFailure } from './parallels-failure.js'
import { Inventory } from '../../driver/inventory.js'
import { EventMonitor } from './event-monitor.js'
import type { MonitorEvent } from './monitor-lines.js'
import type { Prlctl } from './prlctl.js'
import type { ProgramRunner } from './program-runner.js'
import type { Transport } from './transport.js'
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
  #making = 0
  #drafts: readonly VmRecord[] = []
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

  /** VMs that somebody is making, or was: as they were listed last. */
  get drafts(): readonly VmRecord[] {
    return this.#drafts
  }

  /** Every VM that is whole. */
  async list(): Promise<VmInfo[]> {
    const askedAt = this.inventory.ask()
    const all = await this.prlctl.list()
    const infos = all.filter(({ record }) => !isDraft(record.config.name))
    this.#drafts = all.filter((info) => !infos.includes(info)).map(({ record }) => record)
    // What was heard of a VM before it was whole says nothing of how often it changes.
    for (const { record } of infos) if (!this.inventory.has(record.id)) this.#quiet.delete(record.id)
    this.inventory.observeAll(
      infos.map(({ record }) => record),
      askedAt,
    )
    return infos
  }

  /** Asks for a VM; one that is there no more is forgotten. */
  async look(vm: string, options?: { readonly isFull: boolean }): Promise<VmInfo> {
    const askedAt = this.inventory.ask()
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
    const told = await this.prlctl.snapshots(vm)
    this.inventory.observeSnapshots(vm, told, isChange)
    return told
  }

  /** Makes a VM. What is heard of unknown ones meanwhile is most likely of it. */
  async making<T>(action: () => Promise<T>): Promise<T> {
    this.#making += 1
    try {
      return await action()
    } finally {
      this.#making -= 1
      if (this.#making === 0) {
        for (const vm of this.#heardMeanwhile) this.#quiet.delete(vm)
        const isAnyUnknown = [...this.#heardMeanwhile].some((vm) => !this.inventory.has(vm))
        this.#heardMeanwhile.clear()
        if (isAnyUnknown) this.#listAside()
      }
    }
  }

  /** What the host tells by itself is a hint to ask. */
  #hear({ vmId, kind, state }: MonitorEvent): void {
    const { inventory } = this
    // Whoever works on it asks at the end.
    if (this.#isClosed || inventory.isBusy(vmId)) return
    if (kind === 'list') this.#hearOfVm(vmId)
    if (!inventory.has(vmId)) {
      // It may have been a draft, and be whole now.
      if (kind === 'config' && !this.#isQuiet(vmId)) {
        this.#quieten(vmId)
        this.#hearOfVm(vmId)
      }
      return
    }
    if (kind === 'state' && (state === undefined || stateOf(state) !== inventory.stateOf(vmId)))
      this.#aside(this.look(vmId))
    if (kind === 'config' && !this.#isQuiet(vmId)) this.#aside(this.#lookForChange(vmId))
    if (kind === 'snapshots') this.#aside(this.snapshots(vmId, { isChange: true }))
  }

  #hearOfVm(vmId: string): void {
    if (this.#making > 0) this.#heardMeanwhile.add(vmId)
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

  /** Lets what is told of the VM's configuration pass for a while, longer each time. */
  #quieten(vm: string): void {
    const forMs = Math.min(2 * (this.#quiet.get(vm)?.forMs ?? firstQuietMs / 2), maxQuietMs)
    this.#quiet.set(vm, { until: performance.now() + forMs, forMs })
  }

  /** Asks for a VM whose configuration is said to have changed, ever more rarely where it has not. */
  async #lookForChange(vm: string): Promise<void> {
    this.#quieten(vm)
    const before = this.inventory.configOf(vm)
    await this.look(vm)
    if (this.inventory.configOf(vm) !== before) this.#quiet.delete(vm)
  }
}
