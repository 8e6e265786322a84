import type { Driver, DriverOperations, Feature } from '../../driver/driver.js'
import { vmNotFound } from '../../errors/lookup.js'
import type { VmEvent } from '../../model/vm-event.js'
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
      'server.getVmList': ({ filter: { name, state } }, task) =>
        this.#work.query(task, undefined, async () =>
          (await this.#host.list())
            .map(({ record }) => record)
            .filter(
              (record) =>
                (name ?? record.config.name) === record.config.name && (state ?? record.state) === record.state,
            ),
        ),
      // A name is looked up here, and never by prlctl: to it, a name may be an id, an option or another VM's name.
      'server.getVm': ({ nameOrId }, task) =>
        this.#work.query(task, undefined, async () => {
          const records = (await this.#host.list()).map(({ record }) => record)
          const id = bareId(nameOrId)
          const found =
            records.find((record) => record.id === id) ?? records.find(({ config }) => config.name === nameOrId)
          if (found === undefined) throw vmNotFound(nameOrId)
          return found
        }),
    }
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
