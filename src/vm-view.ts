import { inspect } from 'node:util'
import type { VmRecord } from './model/vm-record.js'
import type { VmError } from './errors.js'
import type { VmConfig } from './model/vm-config.js'
import type { NativeDetails } from './model/native-details.js'
import type { VmState } from './model/vm-state.js'
import type { JobTarget } from './operations.js'

/** What the host said last of a VM. Its values change with each answer and each event; reading them asks nobody. */
export abstract class VmView {
  // Properties of its own: `console.table(vms)` shows no others.
  /** The VM's id on its host; it stays the same for the VM's life. */
  readonly id: string
  /** The VM's name, unique on its host. */
  readonly name: string
  /** The VM's state; `vm.getState()` asks the host for it. */
  readonly state: VmState
  #record: VmRecord
  #target: JobTarget

  /** @internal */
  constructor(record: VmRecord) {
    this.id = record.id
    this.name = record.config.name
    this.state = record.state
    this.#record = record
    this.#target = { type: 'vm', id: record.id, name: record.config.name }
  }

  /** @internal */
  static update(vm: VmView, change: Partial<VmRecord>): void {
    // Only a whole record has a problem, and it belongs to that state.
    const { state } = vm.#record
    const isStillTrue = change.config === undefined && (change.state ?? state) === state
    const { problem } = isStillTrue ? vm.#record : change
    vm.#record = { ...vm.#record, ...change, problem }
    Object.assign(vm, { name: vm.#record.config.name, state: vm.#record.state })
    if (change.config !== undefined) vm.#target = { type: 'vm', id: vm.id, name: change.config.name }
  }

  /** The VM's settings; `vm.refresh()` asks the host for them, `vm.edit()` changes them. */
  get config(): VmConfig {
    return this.#record.config
  }

  /** @internal */
  protected get nativeDetails(): NativeDetails | undefined {
    return this.#record.native
  }

  /**
   * What is wrong with the VM, as of the host's last answer with its settings (`vm.refresh()` asks for them); the hint tells the way
   * out. A VM whose files are damaged has the `state` `'unknown'` and an incomplete `config`, and can be deleted. A VM that is
   * `'paused'` because the host has no room for what its guest writes has an `InsufficientResourcesError`: `vm.resume()` goes on once
   * there is room.
   */
  get problem(): VmError | undefined {
    return this.#record.problem
  }

  /** The VM as errors and jobs name it. */
  get target(): JobTarget {
    return this.#target
  }

  /** For `console.log`: {@link toString}. */
  [inspect.custom](): string {
    return this.toString()
  }

  /** For people: `Vm "web-1" running (5f0c…)`. */
  toString(): string {
    return `Vm ${JSON.stringify(this.name)} ${this.state} (${this.id})`
  }

  /** Id, name, state, settings, and the problem if there is one, for `JSON.stringify`. */
  toJSON(): Record<string, unknown> {
    const { id, name, state, config, problem } = this
    return { id, name, state, config, ...(problem !== undefined && { problem }) }
  }
}
