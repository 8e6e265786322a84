import type { HostJobListener, HostJobSource } from '../../driver/followed-job.js'
import type { ProgressUpdate } from '../../model/host-job.js'
import { JobCancelledError, type VmError } from '../../errors.js'
import type { ImageRecord } from '../../files/image-record.js'
import type { VmState } from '../../model/vm-state.js'
import { operations, type OperationSpec } from '../../operations.js'
import { Course, type CourseHost } from './course.js'
import type { FaultPlan } from './fault.js'
import type { SimulatedHost } from './host.js'
import type { KeptRun } from './job-keeper.js'
import { Interruption } from './interruption.js'
import type { Listener } from './listener.js'
import type { SimulatedMachine } from './simulated-machine.js'
import type { SimulatedOperation } from './simulated-operation.js'
import type { SimulatedVm, VmHolder } from './simulated-vm.js'

/** A change that is possible, before it is made. */
interface Change<T> {
  /** The check of the files that it needs, if it needs any. */
  readonly files?: Promise<ImageRecord> | undefined
  /** Makes it, at once; `before` is the state that the VM had. */
  readonly commit: (before: VmState, images: ImageRecord | undefined) => T
}

/** What a run needs of its host. */
type RunHost = CourseHost & Pick<SimulatedHost, 'store' | 'jobs'>

interface RunDetails {
  /** The VM's id. */
  readonly vmId: string | undefined
  /** The connection that began it. */
  readonly by: Listener | undefined
  readonly plan: FaultPlan | undefined
}

/**
 * An operation under way on the host. It goes on whether or not the connection that began it is still there. Where nothing
 * takes time, the change has been made when `start` returns.
 */
export class Run<T = unknown> implements KeptRun, VmHolder, HostJobSource<T> {
  readonly operation: SimulatedOperation
  readonly vmId: string | undefined
  readonly #host: RunHost
  readonly #by: Listener | undefined
  readonly #course: Course
  readonly #interruption = new Interruption()
  #outcome: Promise<T> | undefined
  #isOver = false
  /** Set once the change has been made, or can't be. */
  #isMade = false
  /** Set at the first wait: what has waited is known as a job. */
  #hasWaited = false
  #isInLine = false
  /** Set where it can't be stopped any more, though it goes on. */
  #refusesCancel: boolean
  #token: string | undefined
  #progress: ProgressUpdate | undefined
  #listeners: Set<HostJobListener> | undefined
  /** The run that this one only follows. */
  #followed: KeptRun | undefined

  constructor(host: RunHost, operation: SimulatedOperation, { vmId, by, plan }: RunDetails) {
    this.#host = host
    this.operation = operation
    this.vmId = vmId
    this.#by = by
    this.#course = new Course(host, operation, plan)
    this.#refusesCancel = this.#course.refusesCancel
  }

  get #spec(): OperationSpec {
    return operations[this.operation]
  }

  /** How it ends, once it has been started. */
  get outcome(): Promise<T> {
    return this.#outcome ?? Promise.reject(new Error('The run was not started'))
  }

  /** Whether it may still be long in coming to its end. */
  get mayTakeTime(): boolean {
    return !this.#isMade && (this.#hasWaited || this.#spec.isCancelable === true)
  }

  /** What finds it again, where the host keeps it as a job. */
  get token(): string | undefined {
    return this.#token
  }

  /** What was reported last. */
  get progress(): ProgressUpdate {
    return this.#progress ?? {}
  }

  /** Whether there is a point in asking it to stop. */
  get isCancelable(): boolean {
    return this.#spec.isCancelable === true || this.#isInLine
  }

  start(work: (run: Run<T>) => Promise<T>): void {
    this.#outcome = this.#perform(work)
    // Nobody may be there any more to look at it.
    this.#outcome.catch(() => undefined)
  }

  /** Asks it to stop; whether the request is taken. The outcome tells what came of it. */
  cancel(reason = 'it was cancelled'): boolean {
    if (this.#isOver || this.#isMade || this.#refusesCancel) return false
    if (this.#followed !== undefined) return this.#followed.cancel(reason)
    if (!this.isCancelable) return false
    this.#tellOfCancel(reason)
    this.#interruption.interrupt(new JobCancelledError({ reason }))
    return true
  }

  /** The VM's machine has gone, and with it what this was to do. */
  onMachineEnd(error: VmError): void {
    if (!this.#isInLine && !this.#isMade) this.#interruption.interrupt(error)
  }

  /** Tells the listener the token and the progress, those of before too, until the returned function is called. */
  listen(listener: HostJobListener): () => void {
    if (this.#token !== undefined) listener.onToken?.(this.#token)
    if (this.#progress !== undefined) listener.onProgress(this.#progress)
    this.#listeners ??= new Set()
    this.#listeners.add(listener)
    return () => void this.#listeners?.delete(listener)
  }

  /** Does something that needs no VM to itself: after its time, in one step. */
  async look<R>(action: () => R, vm?: SimulatedVm): Promise<R> {
    this.begin(vm)
    if (this.takesTime(vm)) await this.spend(vm, undefined)
    const done = this.act(action)
    this.#course.end(vm)
    return done
  }

  /** Makes something new. */
  async make<R>(begin: () => Change<R>): Promise<R> {
    try {
      this.begin(undefined)
      return await this.#carryOut(undefined, begin())
    } finally {
      this.#isMade = true
    }
  }

  /**
   * Changes a VM, with nobody else at it: shows that it goes on, takes its time, and makes the change or leaves no trace.
   * @param check throws unless the VM's state is one that the operation needs; by the table of operations if absent
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

  /** Meets what goes wrong before anything is done. */
  begin(vm: SimulatedVm | undefined): void {
    this.#course.begin(vm)
  }

  takesTime(vm: SimulatedVm | undefined): boolean {
    return this.#course.takesTime(vm)
  }

  /** Takes the time that the operation takes, step by step. */
  async spend(vm: SimulatedVm | undefined, phase: string | undefined): Promise<void> {
    await this.#course.spend(this, vm, phase)
  }

  report(progress: ProgressUpdate): void {
    this.#progress = progress
    for (const listener of this.#listeners ?? []) listener.onProgress(progress)
  }

  /** Runs what changes the host, in the name of the connection. */
  act<R>(action: () => R): R {
    return this.#host.as(this.#by, action)
  }

  /** Waits for work on files; that is not broken off, and a cancel takes effect when it has ended. */
  async busy<R>(work: Promise<R>): Promise<R> {
    this.#keep()
    const result = await this.#host.clock.whileBusy(work)
    this.#interruption.throwIfInterrupted()
    return result
  }

  /** Waits for a program of a guest; a cancel breaks it, and so does the end of its guest. */
  async until<R>(
    machine: SimulatedMachine,
    work: (signal: AbortSignal) => Promise<R>,
    explainEnd: () => VmError,
  ): Promise<R> {
    const controller = new AbortController()
    const unlisten = machine.onLifeEnd(() => {
      this.onMachineEnd(explainEnd())
    })
    try {
      return await this.wait<R>((resolve, reject) => {
        work(controller.signal).then(resolve, reject)
        return () => {
          controller.abort()
        }
      })
    } finally {
      unlisten()
    }
  }

  /** Waits; a cancel breaks it. */
  async wait<R = void>(
    begin: (resolve: (value: R) => void, reject: (error: unknown) => void) => () => void,
  ): Promise<R> {
    this.#keep()
    return await this.#interruption.wait(begin)
  }

  throwIfInterrupted(): void {
    this.#interruption.throwIfInterrupted()
  }

  /** From now on a cancel is refused. */
  refuseCancels(): void {
    this.#refusesCancel = true
  }

  /** Follows another one to its end. */
  async follow(other: KeptRun): Promise<unknown> {
    this.#token = other.token
    this.#followed = other
    await this.look(() => undefined)
    const unlisten = other.listen({
      onProgress: (progress) => {
        this.report(progress)
      },
      onCancel: (reason) => {
        this.#tellOfCancel(reason)
      },
    })
    try {
      return await other.outcome
    } finally {
      unlisten()
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
    const { through } = this.#spec
    const before = vm?.state ?? 'stopped'
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
      // Whoever changed the state meanwhile, or the commit, has the last word.
      if (through !== undefined && vm?.state === through && this.#host.store.has(vm)) show(stateBack(vm, before))
    }
  }

  async #waitInLine(vm: SimulatedVm): Promise<void> {
    this.#isInLine = true
    try {
      await this.wait((resolve) => {
        const line = (vm.line ??= [])
        const next = (): void => {
          // The place is handed over: nobody may come between.
          vm.holder = this
          resolve()
        }
        line.push(next)
        return () => {
          line.splice(line.indexOf(next), 1)
        }
      })
    } catch (error) {
      // It may have been cancelled with the place in its hand.
      if (vm.holder === this) {
        vm.holder = undefined
        vm.line?.shift()?.()
      }
      throw error
    } finally {
      this.#isInLine = false
    }
  }

  /** The host keeps it as a job, now that somebody may come to ask for it. */
  #keep(): void {
    if (this.#hasWaited) return
    this.#hasWaited = true
    if (this.#spec.isJob !== true) return
    this.#token = this.#host.jobs.keep(this)
    for (const listener of this.#listeners ?? []) listener.onToken?.(this.#token)
  }
}

/** The state that a VM goes back to; a shutdown that was under way before may have been taken back meanwhile. */
function stateBack({ isShuttingDown }: SimulatedVm, before: VmState): VmState {
  return (before === 'stopping' || before === 'resetting') && !isShuttingDown ? 'running' : before
}
