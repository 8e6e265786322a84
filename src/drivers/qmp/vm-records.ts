import type { DriverOperationTypes } from '../../driver/driver.js'
import type { VmRecord } from '../../model/vm-record.js'
import { vmNotFound } from '../../errors/lookup.js'
import { DamagedVm, problemOf } from '../../registry/damaged-vm.js'
import { configOf } from '../../registry/kept-definition.js'
import type { VmDirectory } from '../../registry/vm-directory.js'
import type { Definition } from './definition.js'
import { qemuError } from './qemu-errors.js'
import type { VmInspector } from './vm-inspector.js'
import type { QemuLifecycle } from './qemu-lifecycle.js'

type Filter = DriverOperationTypes['server.getVmList']['input']['filter']

interface Parts {
  readonly directory: VmDirectory<Definition>
  readonly inspector: VmInspector
  readonly lifecycle: QemuLifecycle
}

/** VMs as the driver reports them. */
export class VmRecords {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async list({ name, state }: Filter, signal: AbortSignal): Promise<VmRecord[]> {
    const found = await this.#parts.directory.list()
    const named = found.filter((vm) => name === undefined || vm.name === name)
    const records = await Promise.all(named.map((vm) => this.of(vm, signal)))
    return records.filter((record) => state === undefined || record.state === state)
  }

  async find(nameOrId: string, signal: AbortSignal): Promise<VmRecord> {
    const { directory } = this.#parts
    const found = (await directory.find(nameOrId)) ?? (await directory.findByName(nameOrId))
    if (found === undefined) throw vmNotFound(nameOrId)
    return this.of(found, signal)
  }

  /** A VM whose state can't be found out is `unknown`, with the problem. */
  async of(found: Definition | DamagedVm, signal?: AbortSignal): Promise<VmRecord> {
    if (found instanceof DamagedVm) return found.record
    const { id } = found
    try {
      const { state, run, problem } = await this.#parts.inspector.look(found, { signal })
      const { commandLine } = run ?? this.#parts.lifecycle.plan(found)
      const config = configOf(found, run !== undefined)
      return { id, state, config, native: { driver: 'qmp', commandLine }, problem }
    } catch (error) {
      return { id, state: 'unknown', config: configOf(found, false), problem: problemOf(qemuError(error)) }
    }
  }
}
