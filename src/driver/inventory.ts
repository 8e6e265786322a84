import { isSame } from '../model/is-same.js'
import type { VmConfig } from '../model/vm-config.js'
import type { VmEvent } from '../model/vm-event.js'
import type { VmState } from '../model/vm-state.js'
import type { VmRecord } from '../model/vm-record.js'

type StateEvent = Extract<VmEvent, { readonly type: 'state' }>

/** What one look at a VM has shown: a `VmRecord`, or a part of one. A part that is absent was not looked at. */
export interface VmSight extends Pick<VmRecord, 'id'>, Partial<Pick<VmRecord, 'state' | 'config' | 'problem'>> {
  /** Needed only without a `config`. */
  readonly name?: string | undefined
  /** Why the VM is in this state. If absent, `'request'` while {@link Inventory.during} works on the VM, else nothing. */
  readonly reason?: StateEvent['reason']
  /** If absent, the message of `problem`. */
  readonly message?: string | undefined
}

interface KnownVm {
  name: string
  state: VmState | undefined
  config: VmConfig | undefined
  snapshots: unknown
  /** The time of the question that was answered last. */
  askedAt: number
}

/**
 * What a connection knows of the VMs of its host. A driver shows it each answer of the host; a difference to what was known becomes an
 * event. Of two answers, the one to the later question counts.
 *
 * @example
 * ```ts
 * import { Inventory, Listeners, type VmRecord } from 'awaitvm/driver'
 *
 * const listeners = new Listeners()
 * const inventory = new Inventory(listeners.emit)
 *
 * async function list(ask: () => Promise<VmRecord[]>): Promise<VmRecord[]> {
 *   const askedAt = inventory.ask()
 *   const vms = await ask()
 *   inventory.observeAll(vms, askedAt)
 *   return vms
 * }
 * ```
 */
export class Inventory {
  readonly #emit: (event: VmEvent) => void
  readonly #now: () => Date
  readonly #known = new Map<string, KnownVm>()
  /** The number of operations of this connection that work on a VM, by its id. */
  readonly #busy = new Map<string, number>()
  #lastAsked = 0
  #isComplete = false

  /**
   * @param emit called with each event
   * @param now the time of an event
   */
  constructor(emit: (event: VmEvent) => void, now = () => new Date()) {
    this.#emit = emit
    this.#now = now
  }

  /** The logical time of a question. Call it before the host is asked, and pass it on with the answer. */
  ask(): number {
    this.#lastAsked += 1
    return this.#lastAsked
  }

  /** True if the VM was seen, or is expected. */
  /** Whether the VM was there when it was looked at last. */
  has(vm: string): boolean {
    return this.#known.has(vm)
  }

  /** The state that was seen last; absent if none was. */
  /** The state that was seen last; absent for a VM that was not looked at. */
  stateOf(vm: string): VmState | undefined {
    return this.#known.get(vm)?.state
  }

  /** The settings that were seen last: the same object until they change. Absent if none were. */
  configOf(vm: string): VmConfig | undefined {
    return this.#known.get(vm)?.config
  }

  /** True while {@link during} works on the VM. */
  isBusy(vm: string): boolean {
    return this.#busy.has(vm)
  }

  /** Runs an operation of this connection on the VM. Changes of state that are seen before it ends have the reason `'request'`. */
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

  /** Notes a VM that was there before the connection. The first look at it makes no event. */
  expect(vm: string): void {
    if (this.has(vm)) return
    this.#known.set(vm, { name: vm, state: undefined, config: undefined, snapshots: undefined, askedAt: 0 })
  }

  /** Notes a list of all VMs of the host. The first list makes no events: its VMs were there before the connection. */
  observeAll(vms: readonly VmSight[], askedAt = this.ask()): void {
    const there = new Set(vms.map(({ id }) => id))
    if (!this.#isComplete) for (const id of there) this.expect(id)
    this.#isComplete = true
    for (const vm of vms) this.observe(vm, askedAt)
    for (const [id, known] of this.#known) if (!there.has(id) && known.askedAt <= askedAt) this.forget(id)
  }

  /** Notes a look at one VM. Returns false if a later question was answered before: then nothing is changed. */
  observe(vm: VmSight, askedAt = this.ask()): boolean {
    const { id, config, state } = vm
    const isNew = !this.has(id)
    this.expect(id)
    const known = this.#known.get(id)
    if (known === undefined || known.askedAt > askedAt) return false
    known.askedAt = askedAt
    known.name = config?.name ?? vm.name ?? known.name
    if (isNew) this.#tell('created', id, known)
    if (config !== undefined && !isSame(known.config ?? null, config)) {
      const isFirst = known.config === undefined
      known.config = config
      if (!isFirst) this.#tell('config', id, known)
    }
    if (state !== undefined) this.#observeState({ ...vm, state }, known, isNew)
    return true
  }

  /**
   * Notes the snapshots of a VM: anything that differs after each change of them.
   * @param isChange true if the host says that they have changed; else the first look at them makes no event
   */
  observeSnapshots(vm: string, snapshots: unknown, isChange = false): void {
    const known = this.#known.get(vm)
    if (known === undefined) return
    const before = known.snapshots
    known.snapshots = snapshots
    if (before === undefined ? isChange : !isSame(before, snapshots)) this.#tell('snapshots', vm, known)
  }

  /** Notes that the VM is gone. */
  forget(vm: string): void {
    const known = this.#known.get(vm)
    if (known === undefined) return
    this.#known.delete(vm)
    this.#tell('deleted', vm, known)
  }

  #observeState(vm: VmSight & Pick<VmRecord, 'state'>, known: KnownVm, isNew: boolean): void {
    const { id, state, reason = this.isBusy(id) ? 'request' : undefined, message = vm.problem?.message } = vm
    const previous = known.state
    known.state = state
    // A new VM that is not at rest was made and started since the last look.
    if (previous === undefined ? !isNew || state === 'stopped' : previous === state) return
    const cause = { ...(reason !== undefined && { reason }), ...(message !== undefined && { message }) }
    this.#emit({ type: 'state', vmId: id, name: known.name, state, previous, ...cause, at: this.#now() })
  }

  #tell(type: 'created' | 'deleted' | 'config' | 'snapshots', vmId: string, { name }: KnownVm): void {
    this.#emit({ type, vmId, name, at: this.#now() })
  }
}
