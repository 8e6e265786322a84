import type { Driver, DriverOperations } from '../../driver/driver.js'
import type { DriverOperation, Feature } from '../../operations.js'
import { filterVms, findVm } from '../../driver/vm-lookup.js'
import type { VmRecord } from '../../model/vm-record.js'
import { parallelsGuestOperations } from './parallels-guest.js'
import type { ParallelsHost } from './parallels-host.js'
import { hostInfo } from './host-info.js'
import { ParallelsProvisioning } from './parallels-provisioning.js'
import { screenOperations } from './screen.js'
import { ParallelsSnapshots } from './parallels-snapshots.js'
import { removeAbandonedDrafts } from './vm-creation.js'
import { bareId } from './vm-id.js'
import { ParallelsLifecycle } from './parallels-lifecycle.js'
import { ParallelsWork } from './parallels-work.js'

/** Each operation runs one process on the host, or several in turn. */
const maxConcurrentOperations = 8

/** VMs of Parallels Desktop or Virtuozzo, through prlctl and prlsrvctl. */
export class ParallelsDriver implements Driver {
  readonly name = 'parallels'
  readonly maxConcurrentOperations = maxConcurrentOperations
  readonly waitingOperations = new Set<DriverOperation>(['guest.exec', 'guest.waitUntilReady', 'guest.waitForPort'])
  readonly features: ReadonlySet<Feature> = new Set(['vm.clone.linked', 'server.events.global'])
  readonly operations: DriverOperations
  readonly subscribe: ParallelsHost['subscribe']
  readonly #host: ParallelsHost
  readonly #work: ParallelsWork

  constructor(host: ParallelsHost) {
    this.#host = host
    this.subscribe = host.subscribe
    this.#work = new ParallelsWork(host)
    this.operations = {
      ...this.#lookups,
      ...new ParallelsLifecycle(host, this.#work).operations,
      ...new ParallelsProvisioning(host, this.#work).operations,
      ...new ParallelsSnapshots(host, this.#work).operations,
      ...screenOperations(host, this.#work),
      ...parallelsGuestOperations(host, this.#work),
    }
  }

  get #lookups(): DriverOperations {
    return {
      'server.getInfo': (_input, task) => this.#work.query(task, undefined, () => hostInfo(this.#host)),
      'server.getVmList': ({ filter }, task) =>
        this.#work.query(task, undefined, async () => filterVms(await this.#records(), filter)),
      // prlctl must not look a name up: it takes a name for an id, an option or the name of another VM.
      'server.getVm': ({ nameOrId }, task) =>
        this.#work.query(task, undefined, async () => findVm(await this.#records(), nameOrId, bareId)),
    }
  }

  async #records(): Promise<VmRecord[]> {
    return (await this.#host.list()).map(({ record }) => record)
  }

  /** Begins to remove unfinished VMs of processes that have ended. A failure is left to the next connection. */
  tidyUp(): void {
    this.#host.work.aside(() => removeAbandonedDrafts(this.#host, this.#work)).catch(() => undefined)
  }

  async close(): Promise<void> {
    await this.#host.close()
  }
}
