import { inBackground } from '../../background.js'
import type { Driver, DriverOperations } from '../../driver/driver.js'
import { filterVms } from '../../driver/vm-lookup.js'
import { vmNotFound } from '../../errors/lookup.js'
import type { DriverOperation, Feature } from '../../operations.js'
import type { VmRecord } from '../../model/vm-record.js'
import { removeLeftovers } from './drafts.js'
import { hostInfo } from './host-info.js'
import type { LibvirtHost } from './libvirt-host.js'
import { LibvirtLifecycle } from './libvirt-lifecycle.js'
import { LibvirtProvisioning } from './libvirt-provisioning.js'
import { LibvirtSnapshots } from './libvirt-snapshots.js'
import { LibvirtWork } from './libvirt-work.js'
import { screenOperations } from './screen-operations.js'

/** `max_workers`: libvirt works on so many calls of all its clients at a time. */
const maxConcurrentOperations = 20

/** VMs of a libvirt daemon. */
export class LibvirtDriver implements Driver {
  readonly name = 'libvirt'
  readonly maxConcurrentOperations = maxConcurrentOperations
  readonly checksStates = true
  readonly waitingOperations: ReadonlySet<DriverOperation> = new Set(['vm.stop', 'vm.restart'])
  readonly features: ReadonlySet<Feature> = new Set(['server.events.global'])
  readonly operations: DriverOperations
  readonly subscribe: LibvirtHost['subscribe']
  readonly #host: LibvirtHost
  readonly #work: LibvirtWork

  constructor(host: LibvirtHost) {
    this.#host = host
    this.subscribe = host.subscribe
    this.#work = new LibvirtWork(host)
    this.operations = {
      'server.getInfo': (_input, task) => this.#work.query(task, undefined, () => hostInfo(host)),
      'server.getVmList': ({ filter }, task) =>
        this.#work.query(task, undefined, async () => filterVms(await host.list(), filter)),
      'server.getVm': ({ nameOrId }, task) => this.#work.query(task, undefined, () => this.#find(nameOrId)),
      ...new LibvirtLifecycle(host, this.#work).operations,
      ...new LibvirtProvisioning(host, this.#work).operations,
      ...new LibvirtSnapshots(host, this.#work).operations,
      ...screenOperations(host, this.#work),
    }
  }

  /** Begins to remove what ended processes have left unfinished. What fails is left to the next connection. */
  tidyUp(): void {
    inBackground('Leftovers of ended processes', () =>
      this.#host.work.aside(() => removeLeftovers(this.#host, this.#work)),
    )
  }

  close(): Promise<void> {
    return this.#host.close()
  }

  /** An id goes before a name. */
  async #find(nameOrId: string): Promise<VmRecord> {
    const byId = await this.#host.withId(nameOrId)
    if (byId !== undefined) return byId
    const id = await this.#host.idOf(nameOrId)
    if (id === undefined) throw vmNotFound(nameOrId)
    return await this.#host.look(id)
  }
}
