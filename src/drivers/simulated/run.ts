import type { HostJobListener, HostJobSource } from '../../driver/followed-job.js'
import type { ProgramIo } from '../../driver/program-io.js'
import type { ProgressUpdate } from '../../model/host-job.js'
import { JobCancelledError, type VmError } from '../../errors.js'
import type { ImageRecord } from '../../files/image-record.js'
import type { VmState } from '../../model/vm-state.js'
import { operations, type OperationSpec } from '../../operations.js'
import { Course, type CourseHost } from './course.js'
import type { FaultPlan } from './fault.js'
import type { HostConnection, SimulatedHost } from './host.js'
import type { KeptRun } from './job-keeper.js'
import { Interruption } from './interruption.js'
import type { RunningProgram } from './running-program.js'
import type { SimulatedOperation } from './simulated-operation.js'
import type { SimulatedVm, VmHolder } from './simulated-vm.js'

/** A change that is possible, before it is made. */
interface Change<T> {
  /** The check of the VM's files, if it has any that the change needs. */
  readonly files?: Promise<ImageRecord> | undefined
  /** Makes the change at once. `before` is the state that the VM had. */
  readonly commit: (before: VmState, images: ImageRecord | undefined) => T
}

/** What a run needs of its host. */
type RunHost = CourseHost & Pick<SimulatedHost, 'store' | 'jobs'>

interface RunDetails {
  /** The VM's id. */
  readonly vmId: string | undefined
  /** The connection that began it. */
  readonly by: HostConnection | undefined
  readonly plan: FaultPlan | undefined
}

/**
 * An operation under way on the host. It goes on if the connection that began it is closed. If nothing takes time, the change
 * has been made when `start` returns.
 */
export class Run<T = unknown> implements KeptRun, VmHolder, HostJobSource<T> {
  readonly operation: SimulatedOperation
  readonly vmId: string | undefined
  /** The connection that began it. */
  readonly by: HostConnection | undefined
  /** The program that it runs in a guest. */
  program: RunningProgram | undefined
  readonly #host: RunHost
  readonly #course: Course
  readonly #interruption = new Interruption()
  #outcome: Promise<T> | undefined
  #isOver = false
  /** True once the change has been made, or can't be made any more. */
  #isMade = false
  /** True from the first wait on: from then on the host keeps it as a job. */
  #hasWaited = false
  #isInLine = false
  /** True if cancelling is refused while it goes on. */
  #refusesCancel: boolean
  #token: string | undefined
  #progress: ProgressUpdate | undefined
  #listeners: Set<HostJobListener> | undefined
  /** The job that this run attaches to. */
  #followed: KeptRun | undefined

  constructor(host: RunHost, operation: SimulatedOperation, { vmId, by, plan }: RunDetails) {
    this.#host = host
    this.operation = operation
    this.vmId = vmId
    this.by = by
    this.#course = new Course(host, operation, plan)
    this.#refusesCancel = this.#course.refusesCancel
  }

  get #spec(): OperationSpec {
    return operations[this.operation]
  }

  /** How it ends. It must have been started. */
  get outcome(): Promise<T> {
    return this.#outcome ?? Promise.reject(new Error('The run was not started'))
  }

  /** True if it may take time until it ends. */
  get mayTakeTime(): boolean {
    return !this.#isMade && (this.#hasWaited || this.#spec.isCancelable === true)
  }

  /** Finds it again; `undefined` unless the host keeps it as a job. */
  get token(): string | undefined {
    return this.#token
  }

  /** The progress that was reported last. */
  get progress(): ProgressUpdate {
    return this.#progress ?? {}
  }

  /** True if it can be cancelled, unless it refuses. */
  get isCancelable(): boolean {
    return this.#spec.isCancelable === true || this.#isInLine
  }

  start(work: (run: Run<T>) => Promise<T>): void {
    this.#outcome = this.#perform(work)
    // The connection that would look at it may be closed.
    this.#outcome.catch(() => undefined)
  }

  /** Asks it to stop. True if the request is taken: the outcome tells what became of it. */
  cancel(reason = 'it was cancelled'): boolean {
    if (this.#isOver || this.#isMade || this.#refusesCancel) return false
    if (this.#followed !== undefined) return this.#followed.cancel(reason)
    if (!this.isCancelable) return false
    this.#tellOfCancel(reason)
    this.#interruption.interrupt(new JobCancelledError({ reason }))
    return true
  }

  /** Interrupts the operation, since the VM's machine is gone. */
  onMachineEnd(error: VmError): void {
    if (!this.#isInLine && !this.#isMade) this.#interruption.interrupt(error)
  }

  /** Tells the listener the token and the progress so far, and then each change, until the returned function is called. */
  listen(listener: HostJobListener): () => void {
    if (this.#token !== undefined) listener.onToken?.(this.#token)
    if (this.#progress !== undefined) listener.onProgress(this.#progress)
    this.#listeners ??= new Set()
    this.#listeners.add(listener)
    return () => void this.#listeners?.delete(listener)
  }

  /** Does something in one step after its time. Other operations of the VM may be under way. */
  async look<R>(action: () => R, vm?: SimulatedVm): Promise<R> {
    this.begin(vm)
    if (this.takesTime(vm)) await this.spend(vm, undefined)
    const done = this.act(action)
    this.#course.end(vm)
    return done
  }

  /** Makes a new VM. */
  async make<R>(begin: () => Change<R>): Promise<R> {
    try {
      this.begin(undefined)
      return await this.#carryOut(undefined, begin())
    } finally {
      this.#isMade = true
    }
  }

  /**
   * Changes a VM, with no other change at the same time. It shows the transient state, takes its time, and makes the change or leaves no trace.
   * @param check throws unless the VM is in a state that the operation needs; checks by the table of operations if absent
   */
  async change<R>(
    id: string,
    begin: (vm: SimulatedVm) => Change<R>,
    check = (vm: SimulatedVm): void => {
      vm.requireState(this.operation)
    },
  ): Promise<R> {
    const vm = this.#host.store.get(id)
    if (vm.holder === undefined) vm.holder = this
    else await this.#waitInLine(vm)
    try {
      this.begin(vm)
      const present = this.#host.store.get(id)
      check(present)
      return await this.#carryOut(vm, begin(present))
    } finally {
      this.#isMade = true
      vm.holder = undefined
      vm.line?.shift()?.()
    }
  }

  /** Applies the faults that come before the operation. */
  begin(vm: SimulatedVm | undefined): void {
    this.#course.begin(vm)
  }

  takesTime(vm: SimulatedVm | undefined): boolean {
    return this.#course.takesTime(vm)
  }

  /** Takes the time of the operation, step by step. */
  async spend(vm: SimulatedVm | undefined, phase: string | undefined): Promise<void> {
    await this.#course.spend(this, vm, phase)
  }

  report(progress: ProgressUpdate): void {
    this.#progress = progress
    for (const listener of this.#listeners ?? []) listener.onProgress(progress)
  }

  /** Makes a change of the host in the name of the connection. */
  act<R>(action: () => R): R {
    return this.#host.as(this.by, action)
  }

  /** Waits for work on files. A cancel does not interrupt it, and takes effect when it has ended. */
  async busy<R>(work: Promise<R>): Promise<R> {
    this.#keep()
    const result = await this.#host.clock.whileBusy(work)
    this.#interruption.throwIfInterrupted()
    return result
  }

  /** Waits until `begin` resolves or rejects. A cancel interrupts it. */
  async wait<R = void>(
    begin: (resolve: (value: R) => void, reject: (error: unknown) => void) => () => void,
  ): Promise<R> {
    this.#keep()
    return await this.#interruption.wait(begin)
  }

  throwIfInterrupted(): void {
    this.#interruption.throwIfInterrupted()
  }

  /** Refuses to be cancelled from now on. */
  refuseCancels(): void {
    this.#refusesCancel = true
  }

  /** Attaches to a job until its end. @param io what passes between a program and its user, if it is one's job */
  async follow(other: KeptRun, io: ProgramIo): Promise<unknown> {
    this.#token = other.token
    this.#followed = other
    await this.look(() => undefined)
    const user = other.program?.attach(io)
    const unlisten = other.listen({
      onProgress: (progress) => {
        this.report(progress)
      },
      onCancel: (reason) => {
        this.#tellOfCancel(reason)
      },
    })
    try {
      const outcome = await other.outcome
      await user?.taken
      return outcome
    } finally {
      unlisten()
      if (user !== undefined) other.program?.leave(user)
    }
  }

  #tellOfCancel(reason: string): void {
    for (const listener of this.#listeners ?? []) listener.onCancel(reason)
  }

  async #perform(work: (run: Run<T>) => Promise<T>): Promise<T> {
    try {
      return await work(this)
    } finally {
      this.#isOver = true
      this.#listeners = undefined
      this.#host.jobs.ended(this)
    }
  }

  async #carryOut<R>(vm: SimulatedVm | undefined, { files, commit }: Change<R>): Promise<R> {
    const images = files && (await this.busy(files))
    const before = vm?.state ?? 'stopped'
    // To kill a VM that is stopped changes nothing.
    const through = before === 'stopped' && this.#spec.to === before ? undefined : this.#spec.through
    const show = (state: VmState): void => {
      if (vm === undefined) return
      this.act(() => {
        this.#host.lifecycle.setState(vm, state)
      })
    }
    if (through !== undefined) show(through)
    try {
      if (this.takesTime(vm)) await this.spend(vm, through)
      this.#isMade = true
      const done = this.act(() => commit(before, images))
      this.#course.end(vm)
      return done
    } finally {
      this.#isMade = true
      // The state is left alone if the commit or anybody else has changed it.
      if (through !== undefined && vm?.state === through && this.#host.store.has(vm)) show(stateBack(vm, before))
    }
  }

  async #waitInLine(vm: SimulatedVm): Promise<void> {
    this.#isInLine = true
    try {
      await this.wait((resolve) => {
        const line = (vm.line ??= [])
        const next = (): void => {
          // The VM is handed over directly, so that no other operation comes between.
          vm.holder = this
          resolve()
        }
        line.push(next)
        return () => {
          line.splice(line.indexOf(next), 1)
        }
      })
    } catch (error) {
      // It may have been cancelled just after the VM was handed over.
      if (vm.holder === this) {
        vm.holder = undefined
        vm.line?.shift()?.()
      }
      throw error
    } finally {
      this.#isInLine = false
    }
  }

  /**
   * The host keeps it as a job from the first wait on, since others can ask for it then. A program that ends with its connection is
   * not kept.
   */
  #keep(): void {
    if (this.#hasWaited) return
    this.#hasWaited = true
    if (this.#spec.isJob !== true || this.program?.isDetached === false) return
    this.#token = this.#host.jobs.keep(this)
    for (const listener of this.#listeners ?? []) listener.onToken?.(this.#token)
  }
}

/** The state that a VM returns to. A shutdown that was under way before may have been cancelled since. */
function stateBack({ isShuttingDown }: SimulatedVm, before: VmState): VmState {
  return (before === 'stopping' || before === 'resetting') && !isShuttingDown ? 'running' : before
}
