import { randomUUID } from 'node:crypto'
import type { Sending } from '../../driver/host-work.js'
import type { DriverOperations } from '../../driver/driver.js'
import { refuseSettings } from '../../driver/settings.js'
import { InsufficientResourcesError } from '../../errors.js'
import { nameIsId, nameIsTaken } from '../../errors/lookup.js'
import { requireState } from '../../errors/state.js'
import type { VmRecord } from '../../model/vm-record.js'
import type { VmChanges, VmSpec } from '../../model/vm-spec.js'
import { change, newDomain, requireWritable } from './domain-changes.js'
import { domainOf, type LibvirtHost } from './libvirt-host.js'
import type { LibvirtWork } from './libvirt-work.js'
import { settings } from './settings.js'
import { childOf, parseXml, xmlOf } from './xml.js'

/** `VIR_DOMAIN_UNDEFINE_`: saved memory, what is kept of snapshots, variables of the firmware, what is kept of checkpoints. */
const Undefine = { managedSave: 1, snapshots: 2, nvram: 4, checkpoints: 16 } as const

/** Makes, edits and deletes VMs. */
export class LibvirtProvisioning {
  readonly #host: LibvirtHost
  readonly #work: LibvirtWork

  constructor(host: LibvirtHost, work: LibvirtWork) {
    this.#host = host
    this.#work = work
  }

  readonly operations: DriverOperations = {
    'server.createVm': ({ spec }, task) => this.#work.add(task, 'spec', (sending) => this.#create(spec, sending)),
    'vm.edit': ({ vm, changes }, task) =>
      this.#work.change(task, vm, (record, send) => this.#edit(record, changes, send), { path: 'changes' }),
    'vm.delete': ({ vm }, task) =>
      this.#work.change(task, vm, async (_record, send) => {
        const flags = await this.#undefineFlags(vm)
        send()
        await this.#host.pool.callLong('domain_undefine_flags', { dom: domainOf(vm), flags })
        this.#host.forget(vm)
      }),
  }

  async #create(spec: VmSpec, { signal, send }: Sending): Promise<VmRecord> {
    refuseSettings(spec, settings, { driver: 'libvirt', root: 'spec' })
    requireWritable(spec, 'spec')
    await Promise.all([this.#requireFreeName(spec.name), this.#requireResources(spec)])
    const id = randomUUID()
    const xml = xmlOf(newDomain(spec, { id, type: this.#host.capabilities.domainType }))
    signal.throwIfAborted()
    send()
    await this.#host.pool.callLong('domain_define_xml_flags', { xml, flags: 0 })
    return await this.#host.look(id)
  }

  async #edit(record: VmRecord, changes: VmChanges, send: () => void): Promise<VmRecord> {
    refuseSettings(changes, settings, { driver: 'libvirt', root: 'changes' })
    requireWritable(changes, 'changes')
    const { id: vm, config, state } = record
    const { name = config.name, cpus = config.cpus, memoryMiB = config.memoryMiB } = changes
    const isRenamed = name !== config.name
    // A change of these takes place at the next start only.
    const needsStop = isRenamed || cpus !== config.cpus || memoryMiB !== config.memoryMiB
    if (needsStop) requireState('vm.edit', state, ['stopped', 'crashed'])
    if (isRenamed) await this.#requireFreeName(name)
    if (needsStop) await this.#requireResources({ cpus, memoryMiB })
    const before = await this.#host.xmlOf(vm)
    const domain = parseXml(before)
    change(domain, { ...changes, ...(memoryMiB === config.memoryMiB && { memoryMiB: undefined }) })
    const { pool } = this.#host
    send()
    await pool.callLong('domain_define_xml_flags', { xml: xmlOf(domain), flags: 0 })
    try {
      if (isRenamed) await pool.callLong('domain_rename', { dom: domainOf(vm), new_name: name, flags: 0 })
    } catch (error) {
      await pool.callLong('domain_define_xml_flags', { xml: before, flags: 0 })
      throw error
    }
    return await this.#host.look(vm)
  }

  async #requireFreeName(name: string): Promise<void> {
    const vms = await this.#host.list()
    if (vms.some(({ id }) => id === name)) throw nameIsId(name)
    const taken = vms.find(({ config }) => config.name === name)
    if (taken !== undefined) throw nameIsTaken(name, taken.id)
  }

  /** libvirt defines a VM that it could never start. */
  async #requireResources({ cpus = 1, memoryMiB = 1 }: Pick<VmSpec, 'cpus' | 'memoryMiB'>): Promise<void> {
    const { capabilities, pool } = this.#host
    const [{ max_vcpus: most }, node] = await Promise.all([
      pool.control.call('connect_get_max_vcpus', { type: capabilities.domainType }),
      pool.control.call('node_get_info', {}),
    ])
    const hostMiB = Math.floor(Number(node.memory) / 1024)
    if (cpus <= most && memoryMiB <= hostMiB) return
    throw new InsufficientResourcesError({
      reason: `a VM of this host can have ${String(most)} processors, and the host has ${String(hostMiB)} MiB of memory`,
      hint: 'Ask for fewer processors, or for less memory.',
    })
  }

  /** A domain is undefined with all that libvirt keeps of it. A hypervisor refuses flags that it does not know. */
  async #undefineFlags(vm: string): Promise<number> {
    const { managedSave, snapshots, nvram, checkpoints } = Undefine
    if (this.#host.address.hypervisor === 'test') return managedSave | snapshots
    const hasVariables = childOf(parseXml(await this.#host.xmlOf(vm)), 'os', 'nvram') !== undefined
    return managedSave | snapshots | checkpoints | (hasVariables ? nvram : 0)
  }
}
