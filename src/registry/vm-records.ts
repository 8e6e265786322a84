import { vmNotFound } from '../errors/lookup.js'
import type { VmError } from '../errors.js'
import { hasLabels, type VmLabels } from '../model/vm-labels.js'
import type { VmRecord } from '../model/vm-record.js'
import type { VmFilter } from '../model/vm-spec.js'
import { DamagedVm, problemOf } from './damaged-vm.js'

interface Named {
  readonly id: string
  readonly name: string
  readonly labels?: VmLabels | undefined
}

interface Parts<D extends Named> {
  readonly store: {
    list(): Promise<readonly (D | DamagedVm)[]>
    find(id: string): Promise<D | DamagedVm | undefined>
    findByName(name: string): Promise<D | DamagedVm | undefined>
  }
  /** The current state and settings of a VM. */
  readonly describe: (definition: D, signal: AbortSignal | undefined) => Promise<Omit<VmRecord, 'id'>>
  /** The settings of a VM whose state can't be found out. */
  readonly configOf: (definition: D) => VmRecord['config']
  readonly explain: (error: unknown) => VmError
}

/** The VMs that a driver keeps, as it reports them. */
export class VmRecords<D extends Named> {
  readonly #parts: Parts<D>

  constructor(parts: Parts<D>) {
    this.#parts = parts
  }

  async list({ name, state, labels }: VmFilter, signal?: AbortSignal): Promise<VmRecord[]> {
    const { store } = this.#parts
    const named = name === undefined ? await store.list() : [await store.findByName(name)]
    const wanted = named.filter((vm) => vm !== undefined).filter((vm) => hasLabels(labelsOf(vm), labels))
    const records = await Promise.all(wanted.map((vm) => this.of(vm, signal)))
    return records.filter((record) => state === undefined || record.state === state)
  }

  /** An id goes before a name. */
  async find(nameOrId: string, signal?: AbortSignal): Promise<VmRecord> {
    const { store } = this.#parts
    const found = (await store.find(nameOrId)) ?? (await store.findByName(nameOrId))
    if (found === undefined) throw vmNotFound(nameOrId)
    return this.of(found, signal)
  }

  /** A VM whose state can't be found out is `unknown`, with the problem. */
  async of(found: D | DamagedVm, signal?: AbortSignal): Promise<VmRecord> {
    if (found instanceof DamagedVm) return found.record
    const { id } = found
    const { describe, configOf, explain } = this.#parts
    try {
      return { id, ...(await describe(found, signal)) }
    } catch (error) {
      return { id, state: 'unknown', config: configOf(found), problem: problemOf(explain(error)) }
    }
  }
}

const labelsOf = (vm: Named | DamagedVm): VmLabels | undefined => (vm instanceof DamagedVm ? undefined : vm.labels)
