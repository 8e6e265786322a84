import type { Driver, DriverOperations, Feature } from '../../driver/driver.js'
import { filterVms, findVm } from '../../driver/vm-lookup.js'
import type { VmEvent } from '../../model/vm-event.js'
import type { VmRecord } from '../../model/vm-record.js'
import { ParallelsGuest } from './guest.js'
import type { ParallelsHost } from './host.js'
import { hostInfo } from './host-info.js'
import { Provisioning } from './provisioning.js'
import { screenOperations } from './screen.js'
import { Snapshots } from './snapshots.js'
import { removeAbandonedDrafts } from './vm-creation.js'
import { bareId } from './vm-id.js'
import { VmLifecycle } from './vm-lifecycle.js'
import { VmWork } from './vm-work.js'

/** Each operation is a process of the host's, and some are several one after another. */
const maxConcurrentOperations = 8

/** VMs of Parallels Desktop or Virtuozzo, through prlctl and prlsrvctl. */
export class ParallelsDriver implements Driver {
  readonly name = 'parallels'
  readonly maxConcurrentOperations = maxConcurrentOperations
  readonly features: ReadonlySet<Feature> = new Set(['vm.clone.linked', 'server.events.global'])
  readonly operations: DriverOperations
  readonly #host: ParallelsHost
  readonly #work: VmWork

  constructor(host: ParallelsHost) {
    this.#host = host
    this.#work = new VmWork(host)
    this.operations = {
      ...this.#lookups,
      ...new VmLifecycle(host, this.#work).operations,
      ...new Provisioning(host, this.#work).operations,
      ...new Snapshots(host, this.#work).operations,
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
