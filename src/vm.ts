import { cloneVm } from './clone-vm.js'
import { ConsoleStream } from './console-stream.js'
import { deleteVm } from './delete-vm.js'
import { disposeVm } from './dispose-vm.js'
import { callDriver, type DriverConnection, type StateChange, type VmOperation } from './driver-call.js'
import type { DriverOperationTypes } from './driver/driver.js'
import { exportDisk } from './export-disk.js'
import type { VmRecord } from './model/vm-record.js'
import type { InvalidArgumentError } from './errors.js'
import { VmError } from './errors.js'
import { validate } from './errors/validate.js'
import { VmGuest } from './guest.js'
import type { JobOptions } from './job/job-options.js'
import type { Job } from './job/job.js'
import type { Keys } from './model/keys.js'
import { nonEmpty } from './model/schema.js'
import type { Snapshot, SnapshotNode } from './model/snapshot.js'
import type { VmStatistics } from './model/statistics.js'
import type { VmConfig } from './model/vm-config.js'
import { vmChangesSchema, type VmChanges } from './model/vm-spec.js'
import type { VmState } from './model/vm-state.js'
import type * as operation from './operation-errors.js'
import type { OperationMethods } from './operation-methods.js'
import { callOnSnapshot, type SnapshotArgument } from './snapshot-argument.js'
import { startVm } from './start-vm.js'
import { stopVm } from './stop-vm.js'
import {
  keysSchema,
  readSnapshotOptions,
  type DeleteOptions,
  type StartOptions,
  type StopMode,
  type StopOptions,
  type CloneOptions,
  type ExportDiskOptions,
  type SnapshotOptions,
  type WatchOptions,
} from './vm-arguments.js'
import { VmNative } from './vm-native.js'
import { VmView } from './vm-view.js'
import { waitForState } from './wait-for-state.js'
import { statisticsOf } from './watch-statistics.js'

/** What the VMs of one connection share. */
export interface VmConnection extends DriverConnection {
  /** The facade of a VM: the same object as long as it is in use. */
  vmOf(record: VmRecord): Vm
}

const nothing = (): void => undefined
const itself = <T>(value: T): T => value

/**
 * A virtual machine. `state` and `config` are what the host said last; the methods ask it. Each method returns a `Job` at once, and
 * never throws: a VM in another state than the method needs ends its job with an `InvalidStateError`, and nothing is sent.
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
export class Vm extends VmView implements OperationMethods<'vm'>, AsyncDisposable {
  readonly #connection: VmConnection
  readonly #guest: VmGuest
  #native: VmNative | undefined

  /** @internal */
  constructor(connection: VmConnection, record: VmRecord) {
    super(record)
    this.#connection = connection
    this.#guest = new VmGuest(connection, this)
  }

  /**
   * What is the same for all VMs of one connection.
   * @internal
   */
  static connectionOf(vm: Vm): object {
    return vm.#connection
  }

  /** What the agent inside the VM can do. */
  get guest(): VmGuest {
    return this.#guest
  }

  /** What only this kind of host has: raw commands, and details of the VM. */
  get native(): VmNative {
    return (this.#native ??= new VmNative(this.#connection, () => ({
      target: this.target,
      details: this.nativeDetails,
    })))
  }

  /** Asks the host for the state. */
  getState(options?: JobOptions): Job<VmState, operation.GetStateErrors> {
    return this.#call('vm.getState', { vm: this.id }, options, this.#keepState)
  }

  /** Asks the host for state and settings; ends with the {@link problem} of a VM that is damaged. */
  refresh(options?: JobOptions): Job<VmConfig, operation.RefreshErrors> {
    return callDriver(this.#connection, {
      method: 'server.getVm',
      operation: 'vm.refresh',
      target: this.target,
      input: { nameOrId: this.id },
      options,
      map: this.#keepRecord,
    })
  }

  /** Waits until the VM is in one of these states, and tells in which. It changes nothing, and waits without limit by default. */
  waitForState(states: VmState | readonly VmState[], options?: JobOptions): Job<VmState, operation.WaitForStateErrors> {
    return waitForState(this.#connection, states, options, { target: this.target, keepState: this.#keepState })
  }

  /**
   * Starts a VM that is `stopped` or `crashed`; ends once it is `running`, which is before its guest is ready. `{ until: 'ready' }` waits
   * for the guest, too. If that fails or is cancelled once the VM has been started, it is left as it is, and the error's hint tells so.
   */
  start(options?: StartOptions): Job<void, operation.StartErrors> {
    return startVm(this.#connection, options, {
      target: this.target,
      start: (jobOptions, refusal) => this.#change('vm.start', refusal ?? { vm: this.id }, jobOptions),
      waitUntilReady: () => this.guest.waitUntilReady(),
    })
  }

  /**
   * Asks the guest of a `running` VM to shut down, and waits until it has: two minutes by default. `{ mode: 'kill' }` takes the power
   * away instead, also from a VM that is `paused`, `crashed` or `unknown`, drops the saved state of one that is `suspended`, and
   * succeeds if the VM is `stopped` already. `{ timeoutMs, thenKill: true }` asks the guest first, and takes the power away if it has
   * not shut down within `timeoutMs`. The value tells how the VM was stopped.
   */
  stop(options?: StopOptions): Job<StopMode, operation.StopErrors> {
    return stopVm(this.#connection, options, {
      target: this.target,
      stop: (mode, jobOptions, refusal) =>
        this.#call('vm.stop', refusal ?? { vm: this.id, mode }, jobOptions, (state) => {
          this.#keepState(state)
          return mode
        }),
    })
  }

  /** Halts the processors of a `running` VM; its memory stays on the host. */
  pause(options?: JobOptions): Job<void, operation.PauseErrors> {
    return this.#change('vm.pause', { vm: this.id }, options)
  }

  /** Lets a VM that is `paused` or `suspended` go on. */
  resume(options?: JobOptions): Job<void, operation.ResumeErrors> {
    return this.#change('vm.resume', { vm: this.id }, options)
  }

  /**
   * Saves the memory of a VM that is `running` or `paused` to disk, and frees it on the host. Refused if the VM could not go on from
   * that, because an image that it needs is gone.
   */
  suspend(options?: JobOptions): Job<void, operation.SuspendErrors> {
    return this.#change('vm.suspend', { vm: this.id }, options)
  }

  /** Resets a VM that is `running` or `paused`, as the reset button does: the guest is not asked. */
  reset(options?: JobOptions): Job<void, operation.ResetErrors> {
    return this.#change('vm.reset', { vm: this.id }, options)
  }

  /**
   * Asks the guest of a `running` VM to shut down within `timeoutMs` (two minutes by default), and starts the VM again. A VM that
   * another caller kills before stays stopped: then the job ends with an `InvalidStateError`.
   */
  restart(options?: JobOptions): Job<void, operation.RestartErrors> {
    return this.#change('vm.restart', { vm: this.id }, options)
  }

  /**
   * Changes settings, all or none; what is absent stays. Disks are kept by their ids, and grow if `sizeMiB` is larger: a disk that is
   * neither in `disks` nor in `deleteDisks` makes the edit fail. Hardware of a running VM changes if `server.capabilities` has
   * `'vm.edit.live'`, and as far as the host can: the rest ends with an `InvalidStateError` that tells the way out. Memory that a
   * running VM is to give back is its guest's to give: `config.memoryMiB` is what was asked for, `getStatistics()` tells what it
   * has, both in MiB.
   */
  edit(changes: VmChanges, options?: JobOptions): Job<VmConfig, operation.EditErrors> {
    const valid = validate(vmChangesSchema, changes, 'changes')
    const input = valid.match((checked) => ({ vm: this.id, changes: checked }), itself)
    return this.#call('vm.edit', input, options, this.#keepRecord)
  }

  /**
   * Makes a new, stopped VM with the disks as they are now. `{ linked: true }` needs the capability `'vm.clone.linked'`.
   * `{ memory: true }` makes a twin that runs: see {@link CloneOptions.memory}. It has the settings of the VM, but is ephemeral only if
   * the options say so.
   */
  clone(options: CloneOptions): Job<Vm, operation.CloneErrors> {
    return cloneVm(this.#connection, options, this.target, (record) => this.#connection.vmOf(record))
  }

  /**
   * Writes what a disk of {@link config}, given by its id, holds at present to one new file that needs no other. The path is absolute, in
   * a folder that is there: a file of that name ends with an `AlreadyExistsError`, and a failed or cancelled job leaves none. The content
   * of a VM that is `running` is that of one moment, as after a power cut.
   */
  exportDisk(diskId: string, path: string, options?: ExportDiskOptions): Job<void, operation.ExportDiskErrors> {
    return exportDisk(this.#connection, this.target, { diskId, path }, options)
  }

  /**
   * Deletes a VM that is `stopped`, `suspended` or `crashed`, with its disks, saved state and snapshots; images that it was made from
   * stay. `{ force: true }` deletes a VM that is on, too: it takes the power away first.
   */
  delete(options?: DeleteOptions): Job<void, operation.DeleteErrors> {
    return deleteVm(this.#connection, options, {
      target: this.target,
      delete: (jobOptions, refusal) => this.#call('vm.delete', refusal ?? { vm: this.id }, jobOptions, nothing),
      kill: () => this.stop({ mode: 'kill' }),
    })
  }

  /** Makes the host forget a VM that is `stopped`, `suspended` or `crashed`; its files stay, for `server.registerVm()`. */
  unregister(options?: JobOptions): Job<void, operation.UnregisterErrors> {
    return this.#call('vm.unregister', { vm: this.id }, options, nothing)
  }

  /** Moves the VM to another host, given by its URI. */
  migrate(to: string, options?: JobOptions): Job<void, operation.MigrateErrors> {
    const input = validate(nonEmpty, to, 'to').match((uri) => ({ vm: this.id, to: uri }), itself)
    return this.#call('vm.migrate', input, options, nothing)
  }

  /** Keeps disks and settings as they are now, and the memory of a VM that runs; names are unique within the VM. */
  createSnapshot(options: SnapshotOptions): Job<Snapshot, operation.CreateSnapshotErrors> {
    const { own, job } = readSnapshotOptions(options)
    const input = own.match(({ name, description = '' }) => ({ vm: this.id, name, description }), itself)
    return this.#call('vm.createSnapshot', input, job, itself)
  }

  /** The snapshots that have no parent, each with those made on top of it. */
  getSnapshotTree(options?: JobOptions): Job<readonly SnapshotNode[], operation.GetSnapshotTreeErrors> {
    return this.#call('vm.getSnapshotTree', { vm: this.id }, options, itself)
  }

  /**
   * Takes disks, settings and state back to those of a snapshot, given by itself, its id or its name; what the VM has become since is
   * lost. A name that several snapshots have ends with an `InvalidArgumentError` that lists their ids.
   */
  switchToSnapshot(snapshot: SnapshotArgument, options?: JobOptions): Job<void, operation.SwitchToSnapshotErrors> {
    const { target } = this
    const call = { method: 'vm.switchToSnapshot', target, snapshot, options, map: this.#forgetState } as const
    return callOnSnapshot(this.#connection, call)
  }

  /** Deletes one snapshot, given by itself, its id or its name; those made on top of it stay. */
  deleteSnapshot(snapshot: SnapshotArgument, options?: JobOptions): Job<void, operation.DeleteSnapshotErrors> {
    const call = { method: 'vm.deleteSnapshot', target: this.target, snapshot, options, map: nothing } as const
    return callOnSnapshot(this.#connection, call)
  }

  /** What the VM uses at present, if it is `running` or `paused`. */
  getStatistics(options?: JobOptions): Job<VmStatistics, operation.GetStatisticsErrors> {
    return this.#call('vm.getStatistics', { vm: this.id }, options, itself)
  }

  /**
   * Statistics at an interval, one second by default; ends when the VM does not run any more.
   *
   * @throws any other error of {@link getStatistics}, and an `InvalidArgumentError` if the options are wrong
   * @example
   * ```ts
   * import type { Vm } from 'awaitvm'
   *
   * async function watch(vm: Vm): Promise<void> {
   *   for await (const { cpuTimeMs } of vm.watchStatistics({ intervalMs: 5000 })) console.log(cpuTimeMs)
   * }
   * ```
   */
  async *watchStatistics(options: WatchOptions = {}): AsyncGenerator<VmStatistics, void, undefined> {
    yield* statisticsOf((signal) => this.getStatistics({ signal }), options)
  }

  /** A picture of the screen, as PNG, of a VM that is `running` or `paused`. */
  screenshot(options?: JobOptions): Job<Uint8Array, operation.ScreenshotErrors> {
    return this.#call('vm.screenshot', { vm: this.id }, options, itself)
  }

  /**
   * Types a text as on a US keyboard, or presses keys one after another; keys in an array of their own are pressed together:
   * `vm.sendKeys([['ControlLeft', 'AltLeft', 'Delete']])`. The VM must be `running`.
   */
  sendKeys(keys: Keys, options?: JobOptions): Job<void, operation.SendKeysErrors> {
    const input = validate(keysSchema, keys, 'keys').match((checked) => ({ vm: this.id, keys: checked }), itself)
    return this.#call('vm.sendKeys', input, options, nothing)
  }

  /**
   * The serial console: what the guest printed since it was started, as far as the host has kept it, and then what it prints; what is
   * written goes to the guest. `waitFor()` waits until a text is printed. A console that can't be opened is destroyed with the typed
   * error.
   */
  console(): ConsoleStream {
    const opening = this.#call('vm.console', { vm: this.id }, undefined, itself).unwrap()
    const { runner } = this.#connection
    return new ConsoleStream(opening, { target: this.target, runner, getState: () => this.getState().unwrap() })
  }

  /** Deletes an ephemeral VM, running or not; leaves any other as it is. Throws if that fails. */
  async [Symbol.asyncDispose](): Promise<void> {
    await disposeVm(this, this.#connection.runner)
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
    input: DriverOperationTypes[O]['input'] | InvalidArgumentError,
    options: JobOptions | undefined,
  ): Job<void, operation.OperationErrors<O>> {
    return this.#call(method, input, options, this.#forgetState)
  }

  #call<O extends VmOperation, T>(
    method: O,
    input: DriverOperationTypes[O]['input'] | InvalidArgumentError,
    options: JobOptions | undefined,
    map: (output: DriverOperationTypes[O]['output']) => T,
  ): Job<T, operation.OperationErrors<O>> {
    const { target } = this
    return callDriver(this.#connection, { method, operation: method, target, input, options, map })
  }
}
