import { inspect } from 'node:util'
import { ConsoleStream } from './console-stream.js'
import type { DriverOperation, DriverOperationTypes, VmRecord } from './driver/driver.js'
import { InvalidArgumentError, VmError } from './errors.js'
import { VmGuest } from './guest.js'
import type { JobOptions } from './job/job-options.js'
import type { Job } from './job/job.js'
import type { Keys } from './model/keys.js'
import type { Snapshot, SnapshotNode } from './model/snapshot.js'
import type { VmStatistics } from './model/statistics.js'
import { nonEmpty } from './model/schema.js'
import { validate } from './errors/validate.js'
import type { VmConfig } from './model/vm-config.js'
import type { VmNative } from './model/vm-native.js'
import { vmChangesSchema, type VmChanges } from './model/vm-spec.js'
import type { VmState } from './model/vm-state.js'
import type * as operation from './operation-errors.js'
import type { OperationMethods } from './operation-methods.js'
import type { Capability, JobTarget } from './operations.js'
import type { OperationErrors } from './operation-errors.js'
import { callDriver, notSupported, type ServerContext } from './driver-call.js'
import {
  readStopOptions,
  keysSchema,
  statesSchema,
  readCloneOptions,
  readSnapshotOptions,
  snapshotInput,
  type StopOptions,
  type CloneOptions,
  type SnapshotOptions,
  type WatchOptions,
} from './vm-arguments.js'
import { watchForState } from './wait-for-state.js'
import { statisticsOf } from './watch-statistics.js'

type VmOperation = Extract<DriverOperation, `vm.${string}`>
type VmInput<O extends VmOperation> = Omit<DriverOperationTypes[O]['input'], 'vm'>

/** The operations that answer the state that they led to. */
type StateChange = {
  [O in VmOperation]: DriverOperationTypes[O]['output'] extends VmState ? O : never
}[VmOperation]

const nothing = (): void => undefined
const itself = <T>(value: T): T => value

/**
 * A virtual machine. `state` and `config` are what the host said last; the methods ask it.
 *
 * @example
 * ```ts
 * import { connect } from 'awaitvm'
 *
 * await using server = await connect('embedded:').unwrap()
 * const vm = await server.createVm({ name: 'web-1' }).unwrap()
 * await vm.start().unwrap()
 * console.log(vm.state)
 * await vm.stop({ timeoutMs: 30_000 }).unwrap()
 * ```
 */
export class Vm implements OperationMethods<'vm'> {
  // Properties of its own: `console.table(vms)` shows no others.
  readonly id: string
  readonly name: string
  readonly state: VmState
  readonly #guest: VmGuest
  readonly #context: ServerContext
  #record: VmRecord
  #target: JobTarget

  /** @internal */
  constructor(context: ServerContext, record: VmRecord) {
    this.id = record.id
    this.name = record.config.name
    this.state = record.state
    this.#context = context
    this.#record = record
    this.#target = { type: 'vm', id: record.id, name: record.config.name }
    this.#guest = new VmGuest(context, this)
  }

  /** @internal */
  static update(vm: Vm, change: Partial<VmRecord>): void {
    // Only a whole record tells of a problem, which is one of that state.
    const { state } = vm.#record
    const isStillTrue = change.config === undefined && (change.state ?? state) === state
    const { problem } = isStillTrue ? vm.#record : change
    vm.#record = { ...vm.#record, ...change, problem }
    Object.assign(vm, { name: vm.#record.config.name, state: vm.#record.state })
    if (change.config !== undefined) vm.#target = { type: 'vm', id: vm.id, name: change.config.name }
  }

  /**
   * What is the same for all VMs of one connection.
   * @internal
   */
  static connectionOf(vm: Vm): object {
    return vm.#context
  }

  /** What the agent inside the VM can do. */
  get guest(): VmGuest {
    return this.#guest
  }

  get config(): VmConfig {
    return this.#record.config
  }

  /**
   * What only this kind of host tells, as of the last time that it told of the VM's settings; absent where there is nothing.
   * Of QEMU, the command line: `vm.native?.driver === 'qmp' && vm.native.commandLine`; of Parallels, whether it is a template.
   */
  get native(): VmNative | undefined {
    return this.#record.native
  }

  /**
   * What is wrong with the VM, as of the last time that the host told of its settings (`vm.refresh()` asks for them); the hint tells
   * the way out. Of a VM whose files are damaged, the `state` is `'unknown'`, what can't be read of the `config` is empty, and it can
   * be deleted. One that is `'paused'` since the host has no room for what its guest writes has an `InsufficientResourcesError`:
   * `vm.resume()` goes on once there is room.
   */
  get problem(): VmError | undefined {
    return this.#record.problem
  }

  /** The VM as errors and jobs name it. */
  get target(): JobTarget {
    return this.#target
  }

  getState(options?: JobOptions): Job<VmState, operation.GetStateErrors> {
    return this.#call('vm.getState', {}, options, this.#keepState)
  }

  /** Asks the host for state and settings again; ends with the {@link problem} of a VM that is damaged. */
  refresh(options?: JobOptions): Job<VmConfig, operation.RefreshErrors> {
    return callDriver(this.#context, {
      method: 'server.getVm',
      operation: 'vm.refresh',
      target: this.#target,
      input: { nameOrId: this.id },
      options,
      map: this.#keepRecord,
    })
  }

  /** Waits until the VM is in one of these states, and tells in which; the VM is left alone. */
  waitForState(states: VmState | readonly VmState[], options?: JobOptions): Job<VmState, operation.WaitForStateErrors> {
    const code = 'vm.waitForState'
    const { driver, runner } = this.#context
    const getState = driver.operations['vm.getState']
    if (getState === undefined) return runner.refuse(code, this.#target, notSupported(driver, code))
    const valid = validate(statesSchema, states, 'states')
    if (valid.isErr()) return runner.refuse(code, this.#target, valid.error)
    const wanted = new Set(typeof valid.value === 'string' ? [valid.value] : valid.value)
    return runner.runAside({
      operation: code,
      target: this.#target,
      options,
      work: async (task) => this.#keepState(await watchForState(driver, getState, { vm: this.id, wanted }, task)),
    })
  }

  start(options?: JobOptions): Job<void, operation.StartErrors> {
    return this.#change('vm.start', {}, options)
  }

  stop(options?: StopOptions): Job<void, operation.StopErrors> {
    const { own, job } = readStopOptions(options)
    const input = own.match(({ mode = 'shutdown' }) => ({ mode }), itself)
    return this.#change('vm.stop', input, job)
  }

  /** Halts the processors; memory stays where it is. */
  pause(options?: JobOptions): Job<void, operation.PauseErrors> {
    return this.#change('vm.pause', {}, options)
  }

  /** Goes on after `pause` or `suspend`. */
  resume(options?: JobOptions): Job<void, operation.ResumeErrors> {
    return this.#change('vm.resume', {}, options)
  }

  /** Saves the memory to disk, and lets go of it; refused where the VM could not go on from that, as an image is gone. */
  suspend(options?: JobOptions): Job<void, operation.SuspendErrors> {
    return this.#change('vm.suspend', {}, options)
  }

  /** As the reset button does: the guest is not asked. */
  reset(options?: JobOptions): Job<void, operation.ResetErrors> {
    return this.#change('vm.reset', {}, options)
  }

  /** Asks the guest to shut down within `timeoutMs` (2 minutes), and starts the VM again, unless somebody kills it before. */
  restart(options?: JobOptions): Job<void, operation.RestartErrors> {
    return this.#change('vm.restart', {}, options)
  }

  /**
   * Changes settings, all or none; what is absent stays. Disks are kept by their ids, and grow where `sizeMiB` is larger: one that is
   * neither in `disks` nor in `deleteDisks` makes the edit fail. Hardware of a VM that runs changes where `server.capabilities` has
   * `'vm.edit.live'`, and as far as the host can: the rest ends with an `InvalidStateError` that tells the way out. Memory that a
   * running VM is to give back is its guest's to give: `config.memoryMiB` is what was asked for, `getStatistics()` tells what it
   * has, both in MiB.
   */
  edit(changes: VmChanges, options?: JobOptions): Job<VmConfig, operation.EditErrors> {
    const valid = validate(vmChangesSchema, changes, 'changes')
    return this.#call(
      'vm.edit',
      valid.match((checked) => ({ changes: checked }), itself),
      options,
      this.#keepRecord,
    )
  }

  /** Makes a new, stopped VM with the disks as they are now. */
  clone(options: CloneOptions): Job<Vm, operation.CloneErrors> {
    const { own, job } = readCloneOptions(options)
    const input = own.match(({ name, linked = false }) => ({ name, linked }), itself)
    const needs = !(input instanceof InvalidArgumentError) && input.linked ? 'vm.clone.linked' : undefined
    return this.#call('vm.clone', input, job, (record) => this.#context.vmOf(record), needs)
  }

  /** Deletes the VM with its disks, saved state and snapshots; images that it was made from stay. */
  delete(options?: JobOptions): Job<void, operation.DeleteErrors> {
    return this.#call('vm.delete', {}, options, nothing)
  }

  /** Makes the host forget the VM; its files stay. */
  unregister(options?: JobOptions): Job<void, operation.UnregisterErrors> {
    return this.#call('vm.unregister', {}, options, nothing)
  }

  /** Moves the VM to another host, given by its URI. */
  migrate(to: string, options?: JobOptions): Job<void, operation.MigrateErrors> {
    const input = validate(nonEmpty, to, 'to').match((uri) => ({ to: uri }), itself)
    return this.#call('vm.migrate', input, options, nothing)
  }

  createSnapshot(options: SnapshotOptions): Job<Snapshot, operation.CreateSnapshotErrors> {
    const { own, job } = readSnapshotOptions(options)
    const input = own.match(({ name, description = '' }) => ({ name, description }), itself)
    return this.#call('vm.createSnapshot', input, job, itself)
  }

  /** The snapshots that have no parent, each with those made on top of it. */
  getSnapshotTree(options?: JobOptions): Job<readonly SnapshotNode[], operation.GetSnapshotTreeErrors> {
    return this.#call('vm.getSnapshotTree', {}, options, itself)
  }

  /** Takes disks, settings and state back to what they were; what the VM has become since is lost. */
  switchToSnapshot(id: string, options?: JobOptions): Job<void, operation.SwitchToSnapshotErrors> {
    return this.#change('vm.switchToSnapshot', snapshotInput(id), options)
  }

  /** Deletes one snapshot; those made on top of it stay. */
  deleteSnapshot(id: string, options?: JobOptions): Job<void, operation.DeleteSnapshotErrors> {
    return this.#call('vm.deleteSnapshot', snapshotInput(id), options, nothing)
  }

  getStatistics(options?: JobOptions): Job<VmStatistics, operation.GetStatisticsErrors> {
    return this.#call('vm.getStatistics', {}, options, itself)
  }

  /** Statistics at an interval; ends when the VM does not run any more, and throws other errors. */
  async *watchStatistics(options: WatchOptions = {}): AsyncGenerator<VmStatistics, void, undefined> {
    yield* statisticsOf((signal) => this.getStatistics({ signal }), options)
  }

  /** A picture of the screen, as PNG. */
  screenshot(options?: JobOptions): Job<Uint8Array, operation.ScreenshotErrors> {
    return this.#call('vm.screenshot', {}, options, itself)
  }

  /**
   * Types a text as on a US keyboard, or presses keys one after another; keys in an array of their own are pressed together:
   * `vm.sendKeys([['ControlLeft', 'AltLeft', 'Delete']])`.
   */
  sendKeys(keys: Keys, options?: JobOptions): Job<void, operation.SendKeysErrors> {
    const valid = validate(keysSchema, keys, 'keys')
    return this.#call(
      'vm.sendKeys',
      valid.match((checked) => ({ keys: checked }), itself),
      options,
      nothing,
    )
  }

  /**
   * The serial console: what the guest printed since it was started, as far as the host has kept it, and then what it
   * prints; what is written goes to the guest. A console that can't be opened is destroyed with the typed error.
   */
  console(): ConsoleStream {
    return new ConsoleStream(this.#call('vm.console', {}, undefined, itself).unwrap(), this.#target)
  }

  [inspect.custom](): string {
    return this.toString()
  }

  toString(): string {
    return `Vm ${JSON.stringify(this.name)} ${this.state} (${this.id})`
  }

  toJSON(): Record<string, unknown> {
    const { id, name, state, config, problem } = this
    return { id, name, state, config, ...(problem !== undefined && { problem }) }
  }

  readonly #keepState = (state: VmState): VmState => {
    Vm.update(this, { state })
    return state
  }

  readonly #keepRecord = (record: VmRecord): VmConfig => {
    Vm.update(this, record)
    if (record.state === 'unknown' && record.problem !== undefined) throw VmError.copy(record.problem)
    return record.config
  }

  readonly #forgetState = (state: VmState): void => void this.#keepState(state)

  #change<O extends StateChange>(
    method: O,
    input: VmInput<O> | InvalidArgumentError,
    options: JobOptions | undefined,
  ): Job<void, OperationErrors<O>> {
    return this.#call(method, input, options, this.#forgetState)
  }

  #call<O extends VmOperation, T>(
    method: O,
    input: VmInput<O> | InvalidArgumentError,
    options: JobOptions | undefined,
    map: (output: DriverOperationTypes[O]['output']) => T,
    needs?: Capability,
  ): Job<T, OperationErrors<O>> {
    return callDriver(this.#context, {
      method,
      operation: method,
      target: this.#target,
      input: input instanceof InvalidArgumentError ? input : { ...input, vm: this.id },
      options,
      needs,
      map,
    })
  }
}
