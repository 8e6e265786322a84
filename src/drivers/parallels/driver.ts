import type { Driver, DriverOperations, Feature } from '../../driver/driver.js'
import { filterVms, findVm } from '../../driver/vm-lookup.js'
import type { VmEvent } from '../../model/vm-event.js'
import type { VmRecord } from '../../model/vm-record.js'
import { ParallelsGuest } from './parallels-guest.js'
import type { ParallelsHost } from './parallels-host.js'
import { hostInfo } from './host-info.js'
import { ParallelsProvisioning } from './parallels-provisioning.js'
import { screenOperations } from './screen.js'
import { ParallelsSnapshots } from './parallels-snapshots.js'
import { removeAbandonedDrafts } from './vm-creation.js'
import { bareId } from './vm-id.js'
import { ParallelsLifecycle } from './parallels-lifecycle.js'
import { ParallelsWork } from './parallels-work.js'

/** Each operation is a process of the host's, and some are several one after another. */
const maxConcurrentOperations = 8

/** VMs of Parallels Desktop or Virtuozzo, through prlctl and prlsrvctl. */
export class ParallelsDriver implements Driver {
  readonly name = 'parallels'
  readonly maxConcurrentOperations = maxConcurrentOperations
  readonly features: ReadonlySet<Feature> = new Set(['vm.clone.linked', 'server.events.global'])
  readonly operations: DriverOperations
  readonly #host: ParallelsHost
  readonly #work: ParallelsWork

  constructor(host: ParallelsHost) {
    this.#host = host
    this.#work = new ParallelsWork(host)
    this.operations = {
      ...this.#lookups,
      ...new ParallelsLifecycle(host, this.#work).operations,
      ...new ParallelsProvisioning(host, this.#work).operations,
      ...new ParallelsSnapshots(host, this.#work).operations,
      ...screenOperations(host, this.#work),
      ...new ParallelsGuest(host, this.#work).operations,
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

  subscribe(listener: (event: VmEvent) => void): () => void {
    return this.#host.subscribe(listener)
  }

  /** Begins to take away what others have left half made. What can't be taken away is left to the next connection. */
  tidyUp(): void {
    const context = { operation: 'server.createVm' } as const
    this.#work.guard(context, () => removeAbandonedDrafts(this.#host, this.#work)).catch(() => undefined)
  }

  async close(): Promise<void> {
    await this.#host.stop()
    await this.#work.drain()
    await this.#host.transport.close()
  }
}
