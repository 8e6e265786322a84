import type { VmRecord } from '../../driver/driver.js'
import type { VmConfig } from '../../model/vm-config.js'
import type { VmEvent } from '../../model/vm-event.js'
import type { VmState } from '../../model/vm-state.js'
import type { VmInfo } from './vm-info.js'

interface KnownVm {
  readonly record: VmRecord
  /** When the question was put whose answer this is. */
  readonly askedAt: number
}

/**
 * What the host has said of its VMs last. Whatever asks it shows the answer here; where that differs from what was known,
 * there is an event. Of two answers, the one counts that was asked for later.
 */
export class Inventory {
  readonly #emit: (event: VmEvent) => void
  readonly #known = new Map<string, KnownVm>()
  /** How many operations of this connection work on a VM, by its id. */
  readonly #busy = new Map<string, number>()
  /** What the host has said of a VM's snapshots last. */
  readonly #snapshots = new Map<string, string>()
  #clock = 0
  #isComplete = false

  constructor(emit: (event: VmEvent) => void) {
    this.#emit = emit
  }

  /** To be taken before a question is put. */
  now(): number {
    this.#clock += 1
    return this.#clock
  }

  has(vm: string): boolean {
    return this.#known.has(vm)
  }

  stateOf(vm: string): VmState | undefined {
    return this.#known.get(vm)?.record.state
  }

  /** The same object until it changes. */
  configOf(vm: string): VmConfig | undefined {
    return this.#known.get(vm)?.record.config
  }

  isBusy(vm: string): boolean {
    return this.#busy.has(vm)
  }

  /** While the action lasts, what happens to the VM is what was asked for. */
  async during<T>(vm: string, action: () => Promise<T>): Promise<T> {
    this.#busy.set(vm, (this.#busy.get(vm) ?? 0) + 1)
    try {
      return await action()
    } finally {
      const left = (this.#busy.get(vm) ?? 1) - 1
      if (left > 0) this.#busy.set(vm, left)
      else this.#busy.delete(vm)
    }
  }

  /** The host has told of all its VMs. */
  observeAll(infos: readonly VmInfo[], askedAt: number): void {
    const there = new Set(infos.map(({ record }) => record.id))
    for (const { record } of infos) this.observe(record, askedAt)
    for (const [id, known] of this.#known) if (!there.has(id) && known.askedAt <= askedAt) this.forget(id)
    this.#isComplete = true
  }

  /** The host has told of one VM. */
  observe(record: VmRecord, askedAt: number): void {
    const known = this.#known.get(record.id)
    if (known !== undefined && known.askedAt > askedAt) return
    const { id: vmId, state } = record
    const isSame = JSON.stringify(known?.record.config) === JSON.stringify(record.config)
    const config = isSame ? (known?.record.config ?? record.config) : record.config
    this.#known.set(vmId, { record: { ...record, config }, askedAt })
    const { name } = config
    const at = new Date()
    if (known === undefined) {
      // What was there before the connection is no event.
      if (!this.#isComplete) return
      this.#emit({ type: 'created', vmId, name, at })
      // It was found when it had been made and started.
      if (state !== 'stopped') this.#emit({ type: 'state', vmId, name, state, previous: undefined, at })
      return
    }
    const before = known.record
    if (!isSame) this.#emit({ type: 'config', vmId, name, at })
    if (before.state !== state) {
      const reason = this.#busy.has(vmId) ? { reason: 'request' as const } : {}
      this.#emit({ type: 'state', vmId, name, state, previous: before.state, ...reason, at })
    }
  }

  /** The VM is there no more. */
  forget(vm: string): void {
    const known = this.#known.get(vm)
    if (known === undefined) return
    this.#known.delete(vm)
    this.#snapshots.delete(vm)
    this.#emit({ type: 'deleted', vmId: vm, name: known.record.config.name, at: new Date() })
  }

  /** The host has told of the VM's snapshots, in its own words; `isChange` says that they are said to have changed. */
  observeSnapshots(vm: string, told: string, isChange: boolean): void {
    const before = this.#snapshots.get(vm)
    this.#snapshots.set(vm, told)
    const known = this.#known.get(vm)
    if (known === undefined || before === told || (before === undefined && !isChange)) return
    this.#emit({ type: 'snapshots', vmId: vm, name: known.record.config.name, at: new Date() })
  }
}
