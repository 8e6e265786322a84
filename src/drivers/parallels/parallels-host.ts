import type { VmRecord } from '../../model/vm-record.js'
import { isDraft } from '../../driver/draft-name.js'
import { ParallelsFailure } from './parallels-failure.js'
import { HostWork } from '../../driver/host-work.js'
import { Inventory } from '../../driver/inventory.js'
import { Listeners } from '../../driver/listeners.js'
import { EventMonitor } from './event-monitor.js'
import type { MonitorEvent } from './monitor-lines.js'
import type { Prlctl } from './prlctl.js'
import type { ProgramRunner } from './program-runner.js'
import type { Transport } from './transport.js'
import type { VmInfo } from './vm-info.js'
import { stateOf } from './vm-states.js'

/** Pause between two questions for a configuration that did not change: the host may report a question as a change. */
const firstQuietMs = 1000
const maxQuietMs = 60_000

/** What the parts of the driver share: the host's programs, the work of the connection, and what is known of the VMs. */
export class ParallelsHost {
  readonly prlctl: Prlctl
  readonly transport: Transport
  readonly inventory: Inventory
  readonly #runner: ProgramRunner
  readonly work = new HostWork()
  readonly #listeners = new Listeners()
  readonly subscribe = this.#listeners.subscribe
  readonly #quiet = new Map<string, { until: number; forMs: number }>()
  /** Unknown VMs that events named while VMs were being created. */
  readonly #heardWhileMaking = new Set<string>()
  #making = 0
  #drafts: readonly VmRecord[] = []
  #monitor: EventMonitor | undefined
  #listing: Promise<void> | undefined

  constructor(prlctl: Prlctl, transport: Transport, runner: ProgramRunner) {
    this.prlctl = prlctl
    this.transport = transport
    this.#runner = runner
    this.inventory = new Inventory(this.#listeners.emit)
  }

  /** Subscribes first, then lists, so that no change in between is missed. */
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

  /** Ends all programs of this connection, and waits until the work that used them has ended. */
  async close(): Promise<void> {
    const ended = this.work.close()
    await this.#monitor?.close()
    await this.#runner.stopAll()
    await ended
    await this.transport.close()
  }

  /** VMs whose creation is not complete, from the last list. */
  get drafts(): readonly VmRecord[] {
    return this.#drafts
  }

  /** Every VM whose creation is complete. */
  async list(): Promise<VmInfo[]> {
    const askedAt = this.inventory.ask()
    const all = await this.prlctl.list()
    const infos = all.filter(({ record }) => !isDraft(record.config.name))
    this.#drafts = all.filter((info) => !infos.includes(info)).map(({ record }) => record)
    // Events during its creation don't tell how often a VM changes.
    for (const { record } of infos) if (!this.inventory.has(record.id)) this.#quiet.delete(record.id)
    this.inventory.observeAll(
      infos.map(({ record }) => record),
      askedAt,
    )
    return infos
  }

  /** Asks for a VM. */
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

  /** The list of a VM's snapshots, in the format of the host. */
  async snapshots(vm: string, { isChange = false } = {}): Promise<string> {
    const told = await this.prlctl.snapshots(vm)
    this.inventory.observeSnapshots(vm, told, isChange)
    return told
  }

  /** Creates a VM. Events of unknown VMs until it ends are most likely about that one. */
  async making<T>(action: () => Promise<T>): Promise<T> {
    this.#making += 1
    try {
      return await action()
    } finally {
      this.#making -= 1
      if (this.#making === 0) {
        for (const vm of this.#heardWhileMaking) this.#quiet.delete(vm)
        const isAnyUnknown = [...this.#heardWhileMaking].some((vm) => !this.inventory.has(vm))
        this.#heardWhileMaking.clear()
        if (isAnyUnknown) this.#listAside()
      }
    }
  }

  /** Takes an event as a hint to ask the host. */
  #hear({ vmId, kind, state }: MonitorEvent): void {
    const { inventory } = this
    // The operation that works on the VM asks when it ends.
    if (this.work.isClosed || inventory.isBusy(vmId)) return
    if (kind === 'list') this.#hearOfVm(vmId)
    if (!inventory.has(vmId)) {
      // It may be a draft whose creation is now complete.
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
    if (this.#making > 0) this.#heardWhileMaking.add(vmId)
    else this.#listAside()
  }

  /** Lists the VMs, unless a list is under way. */
  #listAside(): void {
    if (this.work.isClosed || this.#listing !== undefined) return
    this.#listing = this.list().then(
      () => undefined,
      () => undefined,
    )
    void this.#listing.finally(() => {
      this.#listing = undefined
    })
  }

  /** Ignores a failure: the next list catches up. */
  #aside(work: Promise<unknown>): void {
    work.catch(() => undefined)
  }

  #isQuiet(vm: string): boolean {
    return (this.#quiet.get(vm)?.until ?? 0) > performance.now()
  }

  /** Ignores events of the VM's configuration for a while, longer each time. */
  #quieten(vm: string): void {
    const forMs = Math.min(2 * (this.#quiet.get(vm)?.forMs ?? firstQuietMs / 2), maxQuietMs)
    this.#quiet.set(vm, { until: performance.now() + forMs, forMs })
  }

  /** Asks for a VM after an event of its configuration; less often each time that nothing has changed. */
  async #lookForChange(vm: string): Promise<void> {
    this.#quieten(vm)
    const before = this.inventory.configOf(vm)
    await this.look(vm)
    if (this.inventory.configOf(vm) !== before) this.#quiet.delete(vm)
  }
}
