import { VmConsole } from '../../console/vm-console.js'
import type { Driver, DriverOperations, DriverOperationTypes } from '../../driver/driver.js'
import { connectionLost, FollowedJobs } from '../../driver/followed-job.js'
import { HostWork } from '../../driver/host-work.js'
import { Inventory } from '../../driver/inventory.js'
import { Listeners } from '../../driver/listeners.js'
import type { Task } from '../../driver/task.js'
import { ConnectionError, VmError, type OutcomeUnknownError, type VmErrorCode } from '../../errors.js'
import { closedBeforeSending, lostBeforeAnswer } from '../../errors/closed.js'
import type { VmEvent } from '../../model/vm-event.js'
import {
  features,
  isDriverOperation,
  operationCodes,
  operations,
  type DriverOperation,
  type Feature,
  type OperationSpec,
} from '../../operations.js'
import { actions } from './actions.js'
import { SimulatedCall } from './call-log.js'
import type { LostConnectionFault } from './fault.js'
import type { HostConnection, SimulatedHost } from './host.js'
import type { SimulatedOperation } from './simulated-operation.js'
import { Run } from './run.js'
import type { SimulatedVm } from './simulated-vm.js'
import { shownTree } from './snapshots.js'

/** One connection to a simulated host. */
export class SimulatedDriver implements Driver, HostConnection {
  readonly name = 'simulated'
  readonly maxConcurrentOperations = Infinity
  readonly operations: DriverOperations
  readonly features: ReadonlySet<Feature>
  readonly #host: SimulatedHost
  readonly #work = new HostWork()
  readonly #listeners = new Listeners()
  readonly subscribe = this.#listeners.subscribe
  readonly #followed = new FollowedJobs()
  readonly #consoles = new Set<VmConsole>()
  /** The programs that end with the connection. */
  readonly #programs = new Set<Pick<Run, 'cancel'>>()
  /** Set while the connection is lost: what it knew of the VMs then, and the ids of those that have changed since. */
  #outage: { readonly known: Inventory; readonly changed: Set<string> } | undefined
  #stopOutage: (() => void) | undefined

  constructor(host: SimulatedHost) {
    this.#host = host
    this.features = new Set(features.filter((feature) => !host.without.has(feature)))
    const offered = operationCodes.filter(isDriverOperation).filter((operation) => !host.without.has(operation))
    this.operations = Object.fromEntries(offered.map((operation) => [operation, this.#operation(operation)]))
    host.connected(this)
  }

  /** Opens a connection for `connect`: it meets latency and faults. The URI of the job's target has no password. */
  static async open(host: SimulatedHost, task: Task): Promise<SimulatedDriver> {
    const driver = new SimulatedDriver(host)
    try {
      await driver.#perform('connect', { uri: task.target?.id }, task, (run) => run.look(() => undefined))
      return driver
    } catch (error) {
      await driver.close()
      throw error
    }
  }

  get isListening(): boolean {
    return !this.#listeners.isEmpty
  }

  hear(event: VmEvent, by: HostConnection | 'another' | undefined): void {
    const isOwn = by === this || by === undefined
    if (!isOwn && !this.features.has('server.events.global')) return
    if (this.#outage === undefined) this.#listeners.emit(event)
    else if ('vmId' in event) this.#outage.changed.add(event.vmId)
  }

  /** Closes the connection. The VMs and jobs of the host go on, but for its ephemeral VMs. */
  async close(): Promise<void> {
    const ended = this.#work.close()
    for (const run of this.#programs) run.cancel('its connection was closed')
    this.#stopOutage?.()
    this.#followed.giveUp(closedBeforeSending)
    for (const console of this.#consoles) console.finish()
    this.#host.deleteEphemeral(this)
    this.#host.disconnected(this)
    await ended
  }

  #operation<O extends DriverOperation>(
    operation: O,
  ): (input: DriverOperationTypes[O]['input'], task: Task) => Promise<DriverOperationTypes[O]['output']> {
    const act = actions[operation]
    return (input, task) => {
      const outcome = this.#perform(operation, input, task, (run) => act(this.#host, run, input))
      if (operation === 'vm.console') void outcome.then((console) => this.#keepConsole(console), ignore)
      return outcome
    }
  }

  #perform<T>(operation: SimulatedOperation, input: object, task: Task, work: (run: Run<T>) => Promise<T>): Promise<T> {
    const { vm, ...details } = withoutStreams(input)
    const callee = calleeOf(this.#host, vm, details)
    const call = new SimulatedCall(operation, callee, details, this.#host.clock.now)
    this.#host.calls.add(call)
    const begin = (): Promise<T> => this.#begin(operation, { ...callee, input: details }, task, work)
    const { isQuery }: OperationSpec = operations[operation]
    const outcome = isQuery === true ? this.#work.query(task, begin) : this.#work.sent(task, begin)
    outcome.then(
      () => {
        SimulatedCall.end(call, 'SUCCESS')
      },
      (error: unknown) => {
        SimulatedCall.end(call, codeOf(error))
      },
    )
    return outcome
  }

  #begin<T>(
    operation: SimulatedOperation,
    callee: { readonly id: string | undefined; readonly name: string | undefined; readonly input: object },
    task: Task,
    work: (run: Run<T>) => Promise<T>,
  ): Promise<T> {
    if (this.#outage !== undefined) return Promise.reject(connectionLost())
    const plan = this.#host.faults.plan(operation, callee, callee.input)
    const lost = plan?.lost
    if (lost?.moment === 'before') {
      this.#lose(lost)
      return Promise.reject(connectionLost('the connection was lost before anything was sent'))
    }
    const run = new Run<T>(this.#host, operation, { vmId: callee.id, by: this, plan })
    run.start(lost === undefined || lost.done === true ? work : () => Promise.reject(neverBegun()))
    if (run.program?.isDetached === false) this.#endWithConnection(run)
    if (lost === undefined && !run.mayTakeTime) return run.outcome
    const outcome = this.#followed.follow(run, task)
    if (lost !== undefined) this.#lose(lost)
    return outcome
  }

  #endWithConnection<T>(run: Run<T>): void {
    this.#programs.add(run)
    const forget = (): void => void this.#programs.delete(run)
    run.outcome.then(forget, forget)
  }

  #lose({ forMs = 0, tells = false }: LostConnectionFault): void {
    this.#followed.lose()
    for (const console of this.#consoles) console.destroy(connectionLost())
    const isBackAtOnce = forMs === 0 && !tells
    if (!isBackAtOnce) this.#outage = { known: this.#inventory(), changed: new Set() }
    if (isBackAtOnce || forMs === Infinity) this.#followed.giveUp(outcomeLost)
    else this.#stopOutage = this.#host.clock.after(forMs, () => this.#regain(tells))
  }

  #regain(tells: boolean): void {
    const outage = this.#outage
    this.#outage = undefined
    this.#stopOutage = undefined
    for (const id of outage?.changed ?? []) {
      const vm = this.#host.store.find(id)
      if (vm?.id === id) look(vm, outage?.known)
      else outage?.known.forget(id)
    }
    if (!tells) this.#followed.giveUp(outcomeLost)
    else this.#followed.regain()
  }

  /** An inventory of the VMs as they are now. It reports what it is shown later to the listeners. */
  #inventory(): Inventory {
    const inventory = new Inventory(this.#listeners.emit, () => new Date(this.#host.clock.now))
    for (const vm of this.#host.store.list()) {
      inventory.expect(vm.id)
      look(vm, inventory)
    }
    return inventory
  }

  #keepConsole(console: unknown): void {
    if (!(console instanceof VmConsole)) return
    if (this.#work.isClosed) console.finish()
    this.#consoles.add(console)
    console.once('close', () => this.#consoles.delete(console))
  }
}

function look(vm: SimulatedVm, inventory: Inventory | undefined): void {
  inventory?.observe(vm.record)
  inventory?.observeSnapshots(vm.id, shownTree(vm))
}

const ignore = (): void => undefined

/** The VM that the call works on, as far as it is known before the call. */
function calleeOf(
  { store }: SimulatedHost,
  vm: unknown,
  details: { readonly nameOrId?: unknown; readonly spec?: unknown },
): { readonly id: string | undefined; readonly name: string | undefined } {
  const { nameOrId, spec } = details
  const asked = typeof vm === 'string' ? vm : nameOrId
  if (typeof asked === 'string') {
    const found = store.find(asked)
    return found === undefined
      ? { id: asked, name: nameOrId === undefined ? undefined : asked }
      : { id: found.id, name: found.name }
  }
  const name = typeof spec === 'object' && spec !== null && 'name' in spec ? spec.name : undefined
  return { id: undefined, name: typeof name === 'string' ? name : undefined }
}

const codeOf = (error: unknown): VmErrorCode => (error instanceof VmError ? (error.code as VmErrorCode) : 'HOST_ERROR')

const neverBegun = (): ConnectionError =>
  new ConnectionError({ reason: 'the connection was lost before the host began', hint: 'Try again.' })

const outcomeLost = (): OutcomeUnknownError =>
  lostBeforeAnswer(connectionLost('the connection was lost before the host answered'))

/** What a call says of its input: not what passes bytes. */
const withoutStreams = (input: object): { readonly vm?: unknown } =>
  Object.fromEntries(Object.entries(input).filter(([name]) => !['io', 'input', 'output'].includes(name)))
