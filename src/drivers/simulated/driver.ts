import { VmConsole } from '../../console/vm-console.js'
import type { Driver, DriverOperation, DriverOperations, DriverOperationTypes, Feature } from '../../driver/driver.js'
import { connectionLost, FollowedJobs } from '../../driver/followed-job.js'
import type { Task } from '../../driver/task.js'
import { ConnectionError, OutcomeUnknownError, VmError, type VmErrorCode } from '../../errors.js'
import { closedBeforeAnswer } from '../../errors/closed.js'
import type { VmEvent } from '../../model/vm-event.js'
import { actions } from './actions.js'
import { SimulatedCall } from './call-log.js'
import type { LostConnectionFault } from './fault.js'
import type { SimulatedHost } from './host.js'
import type { Listener } from './listener.js'
import { MissedEvents } from './missed-events.js'
import type { SimulatedOperation } from './operation-traits.js'
import { Run } from './run.js'

const allFeatures = ['vm.clone.linked', 'vm.edit.live', 'server.events.global'] as const satisfies Feature[]

const isOperation = (key: string): key is DriverOperation => Object.hasOwn(actions, key)

/** One connection to a simulated host. */
export class SimulatedDriver implements Driver, Listener {
  readonly name = 'simulated'
  readonly maxConcurrentOperations = Infinity
  readonly operations: DriverOperations
  readonly features: ReadonlySet<Feature>
  readonly #host: SimulatedHost
  readonly #listeners = new Set<(event: VmEvent) => void>()
  readonly #followed = new FollowedJobs()
  /** What has been called and has not been answered yet. */
  readonly #underWay = new Set<Promise<unknown>>()
  readonly #consoles = new Set<VmConsole>()
  /** While the connection is lost. */
  #missed: MissedEvents | undefined
  #stopOutage: (() => void) | undefined
  #isClosed = false

  constructor(host: SimulatedHost) {
    this.#host = host
    this.features = new Set(allFeatures.filter((feature) => !host.without.has(feature)))
    const offered = Object.keys(actions).filter((key) => isOperation(key) && !host.without.has(key))
    this.operations = Object.fromEntries(
      offered.filter(isOperation).map((operation) => [operation, this.#operation(operation)]),
    )
    host.connected(this)
  }

  /** A connection as `connect` makes it, which may fail, and take its time. The URI of the job's target has no password. */
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

  subscribe(listener: (event: VmEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  get isListening(): boolean {
    return this.#listeners.size > 0
  }

  hear(event: VmEvent, by: Listener | 'another' | undefined): void {
    const isOwn = by === this || by === undefined
    if (!isOwn && !this.features.has('server.events.global')) return
    if (this.#missed !== undefined) this.#missed.note(event)
    else for (const listener of this.#listeners) listener(event)
  }

  /** Ends the connection for good; the VMs and the jobs of the host go on. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#stopOutage?.()
    this.#followed.giveUp(closedBeforeAnswer)
    for (const console of this.#consoles) console.finish()
    this.#host.disconnected(this)
    // What has been done is answered so, before the server says that nobody knows.
    await Promise.allSettled(this.#underWay)
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
    const { vm, ...details }: { readonly vm?: unknown } = input
    const callee = calleeOf(this.#host, vm, details)
    const call = new SimulatedCall(operation, callee, details, this.#host.clock.now)
    this.#host.calls.add(call)
    const outcome = this.#begin(operation, { ...callee, input: details }, task, work)
    this.#underWay.add(outcome)
    outcome.then(
      () => {
        this.#underWay.delete(outcome)
        SimulatedCall.end(call, 'SUCCESS')
      },
      (error: unknown) => {
        this.#underWay.delete(outcome)
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
    if (this.#isClosed) return Promise.reject(new ConnectionError({ reason: 'the server is closed', retryable: false }))
    if (this.#missed !== undefined) return Promise.reject(connectionLost())
    const plan = this.#host.faults.plan(operation, callee, callee.input)
    const lost = plan?.lost
    if (lost?.moment === 'before') {
      this.#lose(lost)
      return Promise.reject(connectionLost('the connection was lost before anything was sent'))
    }
    const run = new Run<T>(this.#host, operation, { vmId: callee.id, by: this, plan })
    run.start(lost === undefined || lost.done === true ? work : () => Promise.reject(neverBegun()))
    if (lost === undefined && !run.mayTakeTime) return run.outcome
    const outcome = this.#followed.follow(run, task)
    if (lost !== undefined) this.#lose(lost)
    return outcome
  }

  #lose({ forMs = 0, tells = false }: LostConnectionFault): void {
    this.#followed.lose()
    for (const console of this.#consoles) console.destroy(connectionLost())
    const isBackAtOnce = forMs === 0 && !tells
    if (!isBackAtOnce) this.#missed = new MissedEvents()
    if (isBackAtOnce || forMs === Infinity) this.#followed.giveUp(outcomeLost)
    else this.#stopOutage = this.#host.clock.after(forMs, () => this.#regain(tells))
  }

  #regain(tells: boolean): void {
    const missed = this.#missed
    this.#missed = undefined
    this.#stopOutage = undefined
    const at = new Date(this.#host.clock.now)
    for (const event of missed?.catchUp(this.#host.store, at) ?? []) {
      for (const listener of this.#listeners) listener(event)
    }
    if (!tells) this.#followed.giveUp(outcomeLost)
    else this.#followed.regain()
  }

  #keepConsole(console: unknown): void {
    if (!(console instanceof VmConsole)) return
    if (this.#isClosed) console.finish()
    this.#consoles.add(console)
    console.once('close', () => this.#consoles.delete(console))
  }
}

const ignore = (): void => undefined

/** The VM that the call is about, as far as that can be said before it is made. */
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
  const isSpec = typeof spec === 'object' && spec !== null && 'name' in spec && typeof spec.name === 'string'
  return { id: undefined, name: isSpec ? (spec.name as string) : undefined }
}

const codeOf = (error: unknown): VmErrorCode => (error instanceof VmError ? (error.code as VmErrorCode) : 'HOST_ERROR')

const neverBegun = (): ConnectionError =>
  new ConnectionError({ reason: 'the connection was lost before the host had begun', hint: 'Try again.' })

const outcomeLost = (): OutcomeUnknownError =>
  new OutcomeUnknownError({
    reason: 'the connection was lost, and nobody can say what came of it',
    hint: 'Ask for the state of the VM: it may have taken place.',
  })
