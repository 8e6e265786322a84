import { serveDriver, type ServeOptions } from '../connect.js'
import type { CallLog } from '../drivers/simulated/call-log.js'
import type { SimulatedClock } from '../drivers/simulated/clock.js'
import { SimulatedDriver } from '../drivers/simulated/driver.js'
import type { FaultList } from '../drivers/simulated/fault-list.js'
import type { ExecHandler } from '../drivers/simulated/guest-program.js'
import { SimulatedHost } from '../drivers/simulated/host.js'
import { addHost, findHost } from '../drivers/simulated/hosts.js'
import type { QmpHandler } from '../drivers/simulated/qmp-handler.js'
import { RealClock } from '../drivers/simulated/real-clock.js'
import { VirtualClock } from '../drivers/simulated/virtual-clock.js'
import { ConnectionError, InvalidArgumentError } from '../errors.js'
import { intercept, type OpenDriver } from '../schemes.js'
import type { Server } from '../server.js'
import { checkOptions, type CheckedOptions, type SimulatedServerOptions } from './simulated-options.js'
import { SimulatedVmHandle } from './simulated-vm-handle.js'

/** A simulated host, and what a test moves it with. Made by {@link createSimulatedServer}. */
export class SimulatedServer implements AsyncDisposable {
  /** The URI of this host, for `connect`, and for `vm.migrate` of another host. */
  readonly uri: string
  /** A connection to the host. */
  readonly server: Server
  /** The host's clock. */
  readonly clock: SimulatedClock
  /** What goes wrong on the host; more can be added. */
  readonly faults: FaultList
  /** The last calls of all connections. */
  readonly calls: CallLog
  readonly #host: SimulatedHost
  readonly #servers: Server[] = []
  readonly #interceptions = new Set<() => void>()

  /** @internal */
  constructor(host: SimulatedHost, options: ServeOptions) {
    this.#host = host
    this.uri = host.uri
    this.clock = host.clock
    this.faults = host.faults
    this.calls = host.calls
    this.server = this.connect(options)
  }

  /**
   * Makes one more connection. VMs and jobs stay on the host when a connection is closed. `connect(simulated.uri)` makes one too,
   * as a job with latency and faults.
   *
   * @throws InvalidArgumentError if an option is wrong
   */
  connect(options?: ServeOptions): Server {
    const server = serveDriver(new SimulatedDriver(this.#host), this.uri, options)
    this.#servers.push(server)
    return server
  }

  /**
   * Makes `connect` of exactly this URI lead to this host, until the returned object is disposed of.
   *
   * @throws InvalidArgumentError if it is not a URI
   * @throws AlreadyExistsError if the URI is intercepted already
   */
  intercept(uri: string): Disposable {
    const host = this.#host
    const end = makeKnown(uri, host, (_uri, task) => SimulatedDriver.open(host, task))
    const dispose = (): void => {
      if (this.#interceptions.delete(dispose)) end()
    }
    this.#interceptions.add(dispose)
    return { [Symbol.dispose]: dispose }
  }

  /**
   * The inside of a VM, found by id or name.
   *
   * @throws VmNotFoundError
   */
  vm(nameOrId: string): SimulatedVmHandle {
    return new SimulatedVmHandle(this.#host, this.#host.store.require(nameOrId).id)
  }

  /** Runs programs for `vm.guest.exec` in all VMs without a handler of their own. `undefined` removes the handler. */
  onExec(handler: ExecHandler | undefined): void {
    this.#host.execHandler = handler
  }

  /** Answers the commands of `vm.native.qmp` in all VMs. Without a handler, QEMU has no command. `undefined` removes the handler. */
  onQmp(handler: QmpHandler | undefined): void {
    this.#host.qmpHandler = handler
  }

  /** Closes the host's connections, and ends its interceptions. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const dispose of this.#interceptions) dispose()
    for (const server of this.#servers.splice(0)) await server.close().unwrap()
  }
}

/**
 * Makes a host with VMs as on any other, and no hypervisor behind it: for the tests of code that uses awaitvm.
 *
 * @throws InvalidArgumentError that names what is wrong with the options
 *
 * @example
 * ```ts
 * import assert from 'node:assert/strict'
 * import { createSimulatedServer } from 'awaitvm/testing'
 *
 * const { server, clock, calls } = createSimulatedServer({ vms: 3, latency: { 'vm.start': 200 } })
 * const vm = await server.getVm('vm-1').unwrap()
 * const job = vm.start()
 * await clock.advance(100)
 * assert.equal(job.progress.percent, 50)
 * await clock.advance(100)
 * assert.equal(job.retCode, 'SUCCESS')
 * assert.deepEqual([...calls].map(({ operation }) => operation), ['server.getVm', 'vm.start'])
 * await server.close()
 * ```
 */
export function createSimulatedServer(options: SimulatedServerOptions = {}): SimulatedServer {
  const checked = checkOptions(options)
  lastNumber += 1
  const uri = `simulated:///host-${String(lastNumber)}`
  const host = new SimulatedHost({
    uri,
    seed: checked.seed,
    clock: checked.clock === 'real' ? new RealClock() : new VirtualClock(checked.now.getTime()),
    latency: checked.latency,
    faults: checked.faults,
    maxCalls: checked.maxCalls,
    files: checked.files,
    hasAgent: checked.hasAgent,
    without: checked.without,
  })
  addVms(host, checked.vms)
  const end = makeKnown(uri, host, openByUri)
  // The URI of a host that is garbage collected is free again.
  forgotten.register(host, end)
  return new SimulatedServer(host, checked.serve)
}

let lastNumber = 0

const forgotten = new FinalizationRegistry<() => void>((end) => {
  end()
})

/** Finds the host by its URI: the interception must not keep it from being garbage collected. */
const openByUri: OpenDriver = async ({ href }, task) => {
  const host = findHost(href)
  if (host === undefined) throw new ConnectionError({ reason: 'the simulated server is gone', retryable: false })
  return await SimulatedDriver.open(host, task)
}

/** Makes `connect` and migrations find the host by the URI. */
function makeKnown(uri: string, host: SimulatedHost, open: OpenDriver): () => void {
  const endInterception = intercept(uri, open)
  const forget = addHost(uri, host)
  return () => {
    endInterception()
    forget()
  }
}

function addVms(host: SimulatedHost, vms: CheckedOptions['vms']): void {
  if (typeof vms === 'number') {
    for (let number = 1; number <= vms; number += 1) host.addVm({ name: `vm-${String(number)}` }, 'stopped')
    return
  }
  for (const [index, { state = 'stopped', ...spec }] of vms.entries()) {
    if (host.store.findByName(spec.name) !== undefined) {
      const path = `options.vms[${String(index)}].name`
      throw new InvalidArgumentError({
        path,
        reason: `${path} is ${JSON.stringify(spec.name)}, which is the name of another VM`,
      })
    }
    host.addVm(spec, state)
  }
}
