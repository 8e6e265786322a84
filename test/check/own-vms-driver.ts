import type { Driver, DriverOperations } from '../../src/driver/driver.js'
import type { VmRecord } from '../../src/model/vm-record.js'
import type { Capability, Feature } from '../../src/operations.js'
import type { Task } from '../../src/driver/task.js'
import { vmNotFound } from '../../src/errors/lookup.js'
import type { VmEvent } from '../../src/model/vm-event.js'

/** What is left out of a check, and why. */
export const leftOut: Readonly<Partial<Record<Capability, string>>> = {
  'vm.unregister': 'a VM that the host does not know could not be taken away',
  'server.registerVm': 'a VM that the host does not know could not be taken away',
  'vm.migrate': 'it takes another host',
  'server.attachJob': 'the jobs of the host may be those of others',
}

type Perform = (input: { readonly vm?: string }, task: Task) => Promise<unknown>

/**
 * A view of a host with only those VMs whose names begin with a prefix. It never shows or changes others. The names are
 * shown without the prefix.
 */
export class OwnVmsDriver implements Driver {
  readonly name: string
  readonly features: ReadonlySet<Feature>
  readonly maxConcurrentOperations: number
  readonly operations: DriverOperations
  readonly #driver: Driver
  readonly #prefix: string
  /** The ids of all own VMs that it has ever shown. */
  readonly #own = new Set<string>()

  constructor(driver: Driver, prefix: string) {
    this.name = driver.name
    this.features = driver.features
    this.maxConcurrentOperations = driver.maxConcurrentOperations
    this.#driver = driver
    this.#prefix = prefix
    this.operations = { ...this.#guarded, ...this.#lookups, ...this.#making }
  }

  subscribe(listener: (event: VmEvent) => void): () => void {
    return this.#driver.subscribe((event) => {
      if (!('vmId' in event)) listener(event)
      else if (event.name.startsWith(this.#prefix)) {
        this.#own.add(event.vmId)
        listener({ ...event, name: this.#ownName(event.name) })
      }
    })
  }

  close(): Promise<void> {
    return this.#driver.close()
  }

  /** The operations of the host, each with a check that the VM is its own. */
  get #guarded(): DriverOperations {
    const operations = Object.entries(this.#driver.operations)
      .filter(([code]) => !(code in leftOut))
      .map(([code, operation]) => {
        const perform = operation as Perform
        const guarded: Perform = async (input, task) => {
          if (input.vm !== undefined && !this.#own.has(input.vm)) throw vmNotFound(input.vm)
          return await perform(input, task)
        }
        return [code, guarded]
      })
    return Object.fromEntries(operations) as DriverOperations
  }

  get #lookups(): DriverOperations {
    const { 'server.getVmList': getVmList, 'server.getVm': getVm, 'server.getJobs': getJobs } = this.#driver.operations
    return {
      ...(getVmList && {
        'server.getVmList': async ({ filter: { name, ...filter } }, task) => {
          const hostName = name === undefined ? {} : { name: this.#hostName(name) }
          const records = await getVmList({ filter: { ...filter, ...hostName } }, task)
          return records.filter((record) => this.#isOwn(record)).map((record) => this.#tell(record))
        },
      }),
      ...(getVmList &&
        getVm && {
          'server.getVm': async ({ nameOrId }, task) => {
            const isOwnId = (await getVmList({ filter: {} }, task)).some(
              (record) => record.id === nameOrId && this.#isOwn(record),
            )
            const record = await getVm({ nameOrId: isOwnId ? nameOrId : this.#hostName(nameOrId) }, task)
            if (!this.#isOwn(record)) throw vmNotFound(nameOrId)
            return this.#tell(record)
          },
        }),
      ...(getJobs && {
        'server.getJobs': async (input, task) =>
          (await getJobs(input, task)).flatMap((job) => {
            const { vm } = job
            return vm !== undefined && this.#own.has(vm.id)
              ? [{ ...job, vm: { ...vm, name: this.#ownName(vm.name) } }]
              : []
          }),
      }),
    }
  }

  /** The operations that name a VM. */
  get #making(): DriverOperations {
    const { 'server.createVm': createVm } = this.#driver.operations
    const { 'vm.edit': edit, 'vm.clone': clone } = this.#guarded
    return {
      ...(createVm && {
        'server.createVm': async ({ spec }, task) =>
          this.#tell(await createVm({ spec: { ...spec, name: this.#hostName(spec.name) } }, task)),
      }),
      ...(edit && {
        'vm.edit': async ({ vm, changes: { name, ...changes } }, task) => {
          const hostName = name === undefined ? {} : { name: this.#hostName(name) }
          return this.#tell(await edit({ vm, changes: { ...changes, ...hostName } }, task))
        },
      }),
      ...(clone && {
        'vm.clone': async ({ name, ...input }, task) =>
          this.#tell(await clone({ ...input, name: this.#hostName(name) }, task)),
      }),
    }
  }

  #isOwn({ config }: VmRecord): boolean {
    return config.name.startsWith(this.#prefix)
  }

  /** The record as the cases see it. */
  #tell(record: VmRecord): VmRecord {
    this.#own.add(record.id)
    return { ...record, config: { ...record.config, name: this.#ownName(record.config.name) } }
  }

  #hostName(name: string): string {
    return `${this.#prefix}${name}`
  }

  #ownName(hostName: string): string {
    return hostName.slice(this.#prefix.length)
  }
}
