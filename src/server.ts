import { inspect } from 'node:util'
import * as v from 'valibot'
import type { Driver } from './driver/driver.js'
import type { VmRecord } from './model/vm-record.js'
import type { HostJob } from './model/host-job.js'
import { execJob, followedSession, jobOf, outcomeOf, type ExecJob } from './exec/exec-job.js'
import { EventQueue } from './event-queue.js'
import { JobCore } from './job/job-core.js'
import { methodOptions, type JobOptions } from './job/job-options.js'
import type { JobRunner } from './job/job-runner.js'
import { Job } from './job/job.js'
import type { HostInfo } from './model/host-info.js'
import { nonEmpty, object, optional, pathSchema, text } from './model/schema.js'
import { validate } from './errors/validate.js'
import type { EventFilter, VmEvent } from './model/vm-event.js'
import { vmFilterEntries, vmSpecSchema, type VmFilter, type VmSpec } from './model/vm-spec.js'
import type * as operation from './operation-errors.js'
import type { OperationMethods } from './operation-methods.js'
import {
  operationCodes,
  operations,
  type Capability,
  type JobTarget,
  type OperationCode,
  type OperationSpec,
} from './operations.js'
import { callDriver } from './driver-call.js'
import { ServerImages } from './server-images.js'
import { Vm, type VmConnection } from './vm.js'

const readListOptions = methodOptions(vmFilterEntries, 'filter')
const eventFilterSchema = object({ vmId: optional(text), types: optional(v.array(text, 'must be an array')) })

const itself = <T>(value: T): T => value

function capabilitiesOf(driver: Driver): ReadonlySet<Capability> {
  const offered: Readonly<Record<string, unknown>> = driver.operations
  const isOffered = (code: OperationCode): boolean => {
    const { needs }: OperationSpec = operations[code]
    return needs === 'connection' || offered[needs ?? code] !== undefined
  }
  return new Set([...operationCodes.filter(isOffered), ...driver.features])
}

/**
 * A connection to a host of virtual machines; made by `connect`.
 *
 * @example
 * ```ts
 * import { connect } from 'awaitvm'
 *
 * await using server = await connect('embedded:').unwrap()
 * await server.createVm({ name: 'web-1', memoryMiB: 32 }).unwrap()
 * for (const vm of await server.getVmList().unwrap()) console.log(vm.name, vm.state)
 * ```
 */
export class Server implements OperationMethods<'server'>, AsyncDisposable {
  /** The URI that it was connected by, without credentials. */
  readonly uri: string
  /** `'embedded'`, `'qmp'`, ... */
  readonly driver: string
  /** The operations and features that this host offers; each other one ends with a `NotSupportedError`. */
  readonly capabilities: ReadonlySet<Capability>
  readonly #driver: Driver
  readonly #runner: JobRunner
  readonly #connection: VmConnection
  readonly #target: JobTarget
  readonly #vms = new Map<string, WeakRef<Vm>>()
  readonly #forgotten = new FinalizationRegistry<string>((id) => {
    if (this.#vms.get(id)?.deref() === undefined) this.#vms.delete(id)
  })
  readonly #queues = new Set<EventQueue>()
  readonly #unsubscribe: () => void
  readonly #images: ServerImages
  readonly #onClosed: () => void
  #closing: Promise<void> | undefined

  /** @internal */
  constructor(uri: string, driver: Driver, runner: JobRunner, onClosed: () => void) {
    this.uri = uri
    this.driver = driver.name
    this.capabilities = capabilitiesOf(driver)
    this.#driver = driver
    this.#runner = runner
    this.#onClosed = onClosed
    this.#target = { type: 'host', id: uri, name: uri }
    this.#connection = { driver, runner, capabilities: this.capabilities, vmOf: (record) => this.#vmOf(record) }
    this.#images = new ServerImages(this.#connection, this.#target)
    this.#unsubscribe = driver.subscribe((event) => {
      this.#onEvent(event)
    })
  }

  /** The images that were fetched, in the cache of this computer. */
  get images(): ServerImages {
    return this.#images
  }

  /** What the host tells of itself and of the machine that it runs on. */
  getInfo(options?: JobOptions): Job<HostInfo, operation.GetInfoErrors> {
    return callDriver(this.#connection, {
      method: 'server.getInfo',
      operation: 'server.getInfo',
      target: this.#target,
      input: {},
      options,
      map: itself,
    })
  }

  /** The host's VMs, or those that match all of the filter. */
  getVmList(options?: VmFilter & JobOptions): Job<Vm[], operation.GetVmListErrors> {
    const { own, job } = readListOptions(options)
    return callDriver(this.#connection, {
      method: 'server.getVmList',
      operation: 'server.getVmList',
      target: this.#target,
      input: own.match((filter) => ({ filter }), itself),
      options: job,
      map: (records) => records.map((record) => this.#vmOf(record)),
    })
  }

  /** Finds a VM by its name or id; an id goes before a name. */
  getVm(nameOrId: string, options?: JobOptions): Job<Vm, operation.GetVmErrors> {
    return callDriver(this.#connection, {
      method: 'server.getVm',
      operation: 'server.getVm',
      target: this.#target,
      input: validate(nonEmpty, nameOrId, 'nameOrId').match((valid) => ({ nameOrId: valid }), itself),
      options,
      map: (record) => this.#vmOf(record),
    })
  }

  /** Makes a VM, which is `stopped`; names are unique on a host. */
  createVm(spec: VmSpec, options?: JobOptions): Job<Vm, operation.CreateVmErrors> {
    return callDriver(this.#connection, {
      method: 'server.createVm',
      operation: 'server.createVm',
      target: this.#target,
      input: validate(vmSpecSchema, spec, 'spec').match((valid) => ({ spec: valid }), itself),
      options,
      map: (record) => this.#vmOf(record),
    })
  }

  /** Makes the host know a VM whose files are there already, in this folder; what `vm.unregister()` undoes. */
  registerVm(path: string, options?: JobOptions): Job<Vm, operation.RegisterVmErrors> {
    return callDriver(this.#connection, {
      method: 'server.registerVm',
      operation: 'server.registerVm',
      target: this.#target,
      input: validate(pathSchema, path, 'path').match((valid) => ({ path: valid }), itself),
      options,
      map: (record) => this.#vmOf(record),
    })
  }

  /** The jobs of this connection that have not ended, and those that the host keeps itself, also of earlier processes. */
  getJobs(options?: JobOptions): Job<Job<unknown>[], operation.GetJobsErrors> {
    const code = 'server.getJobs'
    const own = this.#runner.active
    const list = this.#driver.operations[code]
    return this.#runner.runAside({
      operation: code,
      target: this.#target,
      options,
      work: async (task) => {
        const known = new Set(own.map(({ token }) => token))
        const others = list === undefined ? [] : await list({}, task)
        return [
          ...own.map((core) => jobOf(core, this.#runner)),
          ...others.filter(({ token }) => !known.has(token)).map((job) => this.#follow(job)),
        ]
      },
    })
  }

  /**
   * Follows a job that the host keeps, by its `token`; it is awaited, watched and cancelled as any other. It ends as that job
   * ends; with an `OutcomeUnknownError` if nobody can say how; with an `InvalidArgumentError` if the host knows no job of that
   * token, or no longer knows it.
   *
   * The job of a program gives its output from where the host has kept it, and takes its input; the streams of others are at their
   * end.
   */
  attachJob(token: string, options?: JobOptions): ExecJob<string, operation.AttachJobErrors, unknown> {
    const session = followedSession()
    const job = callDriver(this.#connection, {
      method: 'server.attachJob',
      operation: 'server.attachJob',
      target: this.#target,
      input: validate(nonEmpty, token, 'token').match(
        (valid) => ({ token: valid, io: session, isListed: false }),
        itself,
      ),
      options,
      isAside: true,
      map: (outcome) => outcomeOf(session, outcome),
    })
    return execJob(job, session, this.#runner)
  }

  /**
   * What happens to the host's VMs from now on. At most 10,000 events wait for a slow reader; then an `'overflow'` event
   * says that some were dropped. The listening ends with the loop, or when the server is closed.
   *
   * @throws an `InvalidArgumentError` if the filter is invalid
   */
  events(filter: EventFilter = {}): EventQueue {
    const valid = validate(eventFilterSchema, filter, 'filter')
    if (valid.isErr()) throw valid.error
    const { vmId, types } = valid.value
    const queue = new EventQueue(
      (ended) => this.#queues.delete(ended),
      (event) =>
        (vmId === undefined || ('vmId' in event && event.vmId === vmId)) &&
        (types === undefined || types.includes(event.type)),
    )
    if (this.#runner.isClosed) queue.end()
    else this.#queues.add(queue)
    return queue
  }

  /**
   * Ends the connection. Jobs in line end with a `ConnectionError`, and so do jobs of which nothing was sent; others under way
   * that can't be finished end with an `OutcomeUnknownError`. The VMs of a host inside this process are killed; those of other hosts
   * run on. The connection's ephemeral VMs are killed and deleted.
   */
  close(): Job<void, operation.CloseErrors> {
    const core = new JobCore<void, operation.CloseErrors>('server.close', this.#target)
    this.#closing ??= this.#close()
    this.#closing.then(
      () => {
        core.succeed()
      },
      (error: unknown) => {
        core.fail(this.#runner.explain(error, 'server.close'))
      },
    )
    return new Job(core)
  }

  /** Closes the connection: see {@link close}; throws if that fails. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close().unwrap()
  }

  /** For `console.log`: {@link toString}. */
  [inspect.custom](): string {
    return this.toString()
  }

  /** URI, driver, and whether it is closed, for `JSON.stringify`. */
  toJSON(): Record<string, unknown> {
    const { uri, driver } = this
    return { uri, driver, isClosed: this.#runner.isClosed }
  }

  /** For people: `Server embedded: (embedded)`. */
  toString(): string {
    return `Server ${this.uri} (${this.driver}${this.#runner.isClosed ? ', closed' : ''})`
  }

  async #close(): Promise<void> {
    try {
      await this.#runner.close(() => this.#driver.close())
    } finally {
      this.#unsubscribe()
      for (const queue of this.#queues) queue.end()
      this.#onClosed()
    }
  }

  #follow({ token, operation, vm, progress }: HostJob): Job<unknown> {
    const attach = this.#driver.operations['server.attachJob']
    if (attach === undefined) return this.attachJob(token)
    const session = followedSession()
    const job = this.#runner.runAside({
      operation,
      target: vm === undefined ? this.#target : { type: 'vm', ...vm },
      options: undefined,
      hasNoDefaultLimit: true,
      work: async (task) => {
        task.setToken(token)
        task.progress(progress)
        return outcomeOf(session, await attach({ token, io: session, isListed: true }, task))
      },
    })
    return operation === 'guest.exec' ? execJob(job, session, this.#runner) : job
  }

  #vmOf(record: VmRecord): Vm {
    const known = this.#vms.get(record.id)?.deref()
    if (known !== undefined) {
      Vm.update(known, record)
      return known
    }
    const vm = new Vm(this.#connection, record)
    this.#vms.set(record.id, new WeakRef(vm))
    this.#forgotten.register(vm, record.id)
    return vm
  }

  #onEvent(event: VmEvent): void {
    if (event.type === 'state') {
      const vm = this.#vms.get(event.vmId)?.deref()
      if (vm !== undefined) Vm.update(vm, { state: event.state })
    }
    for (const queue of this.#queues) queue.push(event)
  }
}
