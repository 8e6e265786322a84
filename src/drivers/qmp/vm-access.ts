import { Exclusive } from '../../exclusive.js'
import type { Sending } from '../../driver/host-work.js'
import { poll } from '../../driver/poll.js'
import type { Task } from '../../driver/task.js'
import { unlessDeleted, vmNotFound } from '../../errors/lookup.js'
import { errorCode } from '../../errors/native.js'
import { guestGone, invalidState, requireState } from '../../errors/state.js'
import { ResourceBusyError } from '../../errors.js'
import { AgentConnectionError } from '../../guest-agent/agent-errors.js'
import type { VmState } from '../../model/vm-state.js'
import type { OperationCode } from '../../operations.js'
import { heldBy } from '../../registry/claim.js'
import type { VmDirectory } from '../../registry/vm-directory.js'
import type { Definition } from './definition.js'
import type { DiskImages } from './disks/disk-images.js'
import { HeldUpVms } from './held-up-vms.js'
import { HeldVm, type Course } from './held-vm.js'
import { GuestLife } from './process/guest-life.js'
import { findQemuOf } from './process/abandoned-qemu.js'
import { endLeftCompanions } from './process/companion.js'
import type { RunRecord } from './process/run-record.js'
import type { QmpClient } from './protocol/qmp-client.js'
import { QmpConnectionError } from './protocol/qmp-errors.js'
import { settle } from './settle.js'
import type { VmInspector } from './vm-inspector.js'
import type { VmObserver } from './watch/vm-observer.js'

interface Parts {
  readonly directory: VmDirectory<Definition>
  readonly inspector: VmInspector
  readonly observer: VmObserver
  readonly images: DiskImages
}

type Claimed = Awaited<ReturnType<VmDirectory<Definition>['claim']>>

export interface ChangeOptions {
  /** The state that others see during the change; the VM's own state if absent. */
  readonly through?: ((state: VmState, definition: Definition) => VmState) | undefined
  /** The states that allow the change, if they are not those of the task's operation. */
  readonly expected?: readonly VmState[] | undefined
  /** How long QEMU may take to tell the state of its guest. */
  readonly timeoutMs?: number | undefined
  /** Finishes an operation that took effect already: it can't be cancelled, and waits for the claim. */
  readonly isSequel?: boolean | undefined
}

/** Longest wait for the claim when finishing an operation that took effect. */
const turnTimeoutMs = 60_000
const turnPollMs = 20

/** A running VM, for operations that look at it or send it something, without a claim. */
export interface RunningVm {
  readonly definition: Definition
  readonly folder: string
  readonly run: RunRecord
  readonly monitor: <T>(action: (client: QmpClient) => Promise<T>) => Promise<T>
  /** The present state, as every connection sees it. */
  readonly look: () => Promise<VmState>
  /** Throws if the guest has ended or was reset since the VM was first looked at. */
  readonly requireSameLife: () => Promise<void>
}

/** How operations get at a VM: with a claim on it, to change it, or without one, while it runs. */
export class VmAccess {
  readonly #parts: Parts
  readonly #exclusive = new Exclusive()
  readonly #changes = new Set<AbortController>()
  readonly heldUp: HeldUpVms

  constructor(parts: Parts) {
    this.#parts = parts
    this.heldUp = new HeldUpVms(parts.directory)
  }

  async get(id: string): Promise<Definition> {
    const definition = await this.#parts.directory.get(id)
    if (definition === undefined) throw vmNotFound(id)
    return definition
  }

  /**
   * Looks at a running VM, or sends it something, also while another operation has the claim.
   *
   * @param answers whether the guest has just answered: then its QEMU, which takes longer, is not asked
   */
  async use<T>(
    id: string,
    task: Pick<Task, 'operation'>,
    { signal, send }: Sending,
    action: (running: RunningVm) => Promise<T>,
    answers: (folder: string) => Promise<boolean> = () => Promise.resolve(false),
  ): Promise<T> {
    try {
      const definition = await this.get(id)
      const trustsLog = await answers(this.#parts.directory.folder(id))
      const { state, run, problem } = await this.#parts.inspector.look(definition, { signal, trustsLog })
      requireState(task.operation, state, undefined, problem)
      if (run === undefined) throw invalidState(state, ['running'])
      const running = this.#running(definition, run, task.operation)
      send()
      return await action(running)
    } catch (error) {
      return await this.#explain(id, task, error)
    }
  }

  /** A VM as it runs now, for work that no job waits for; `undefined` if it does not run. */
  async running(id: string, operation: OperationCode): Promise<RunningVm | undefined> {
    const definition = await this.get(id)
    const { state, run } = await this.#parts.inspector.look(definition)
    return state === 'running' && run !== undefined ? this.#running(definition, run, operation) : undefined
  }

  /** Changes a VM that is in one of the states that the operation needs, exclusively. */
  async change<T>(
    id: string,
    task: Task,
    { signal: unsent, send }: Sending,
    action: (vm: HeldVm) => Promise<T>,
    how: ChangeOptions = {},
  ): Promise<T> {
    const change = new AbortController()
    // Touched before any waiting, so that the job can be cancelled from its first moment.
    const cancelled = how.isSequel === true ? undefined : task.signal
    const stop = (): void => {
      change.abort(cancelled?.aborted === true ? cancelled.reason : unsent.reason)
    }
    const commit = (): void => {
      cancelled?.removeEventListener('abort', stop)
    }
    for (const signal of [unsent, cancelled]) {
      signal?.addEventListener('abort', stop)
      if (signal?.aborted === true) stop()
    }
    this.#changes.add(change)
    const ended = this.heldUp.follow(id, task)
    const course = { signal: change.signal, send, commit }
    try {
      return await this.#exclusive.run(id, () =>
        this.#parts.observer.owning(id, () => this.#changeAlone(id, task, course, action, how)),
      )
    } catch (error) {
      return await this.#explain(id, task, error)
    } finally {
      commit()
      unsent.removeEventListener('abort', stop)
      ended()
      this.#changes.delete(change)
    }
  }

  /** Settles VMs whose owner crashed in the middle of a change: a QEMU without a record must not run on. */
  async recover(): Promise<void> {
    const { directory, images } = this.#parts
    for (const id of await directory.ids()) {
      try {
        if (!directory.isAbandoned(id)) continue
        await this.#exclusive.run(id, async () => {
          const definition = await directory.get(id)
          if (definition === undefined) return
          const { state } = await this.#parts.inspector.lookAtRun(definition)
          const { claim, definition: found } = await directory.claim(id, state)
          try {
            if (found !== undefined) await settle({ directory, images }, found, claim.inherited)
          } finally {
            claim.release()
          }
        })
      } catch (error) {
        // Another process may be faster. A VM that can't be settled reports its problem to the next call for it.
        process.emitWarning(`VM ${id} could not be repaired after a crash: ${String(error)}`, 'AwaitvmWarning')
      }
    }
  }

  /** Deletes a VM whose definition can't be read, unless a QEMU runs it. */
  deleteDamaged(id: string): Promise<void> {
    const { directory, observer } = this.#parts
    const deleteAlone = async (): Promise<void> => {
      const folder = directory.folder(id)
      const running = await findQemuOf(folder, id)
      if (running !== undefined) {
        const reason = `it is damaged, and QEMU runs it as the process ${String(running.pid)}`
        throw new ResourceBusyError({ pid: running.pid, reason, hint: 'Shut its guest down, or end that process.' })
      }
      await endLeftCompanions(folder)
      await directory.deleteDamaged(id)
    }
    return this.#exclusive.run(id, () => observer.owning(id, deleteAlone))
  }

  /** Aborts the changes under way. */
  close(): void {
    for (const change of this.#changes) change.abort(new DOMException('the server was closed', 'AbortError'))
  }

  #running(definition: Definition, run: RunRecord, operation: OperationCode): RunningVm {
    const { directory, inspector } = this.#parts
    const { id } = definition
    const folder = directory.folder(id)
    const life = new GuestLife(folder, run)
    const look = async (): Promise<VmState> => (await inspector.look(await this.get(id))).state
    return {
      definition,
      folder,
      run,
      monitor: (use) => inspector.monitor(id, use),
      look,
      async requireSameLife() {
        if (await life.isOver()) throw guestGone(operation, await look())
      },
    }
  }

  /** Replaces the error of a broken connection by what became of the VM, if its guest has gone. */
  async #explain(id: string, { operation }: Pick<Task, 'operation'>, failure: unknown): Promise<never> {
    const error = await unlessDeleted(failure, id, () => this.#parts.directory.find(id))
    if (!(error instanceof QmpConnectionError || error instanceof AgentConnectionError)) throw error
    const { state, message } = await this.#parts.inspector.lookAtRun(await this.get(id))
    const crash = message === undefined ? undefined : { driver: 'qmp', message }
    throw state === 'running' || state === 'paused' ? error : guestGone(operation, state, crash)
  }

  async #changeAlone<T>(
    id: string,
    task: Task,
    course: Course,
    action: (vm: HeldVm) => Promise<T>,
    how: ChangeOptions,
  ): Promise<T> {
    const { directory, inspector, observer, images } = this.#parts
    const { expected, timeoutMs } = how
    const { signal } = course
    const { claim, definition: found } = await this.#claim(id, task, signal, how)
    observer.tellClaim(id, claim)
    try {
      if (found === undefined) throw vmNotFound(id)
      const definition = await settle({ directory, images }, found, claim.inherited)
      if (definition === undefined) throw vmNotFound(id)
      const { state, run, problem } = await inspector.lookAtRun(definition, { timeoutMs, signal })
      requireState(task.operation, state, expected, problem)
      signal.throwIfAborted()
      course.send()
      return await action(new HeldVm({ claim, directory, observer, course }, definition, state, run))
    } finally {
      claim.release()
    }
  }

  /** Claims a VM whose state allows the change; a refusal leaves no trace. */
  #claim(id: string, task: Task, signal: AbortSignal, how: ChangeOptions): Promise<Claimed> {
    return poll(
      async (waitedMs) => {
        try {
          return await this.#claimNow(id, task, signal, how)
        } catch (error) {
          const isInTurn = how.isSequel === true && error instanceof ResourceBusyError && waitedMs < turnTimeoutMs
          if (!isInTurn) throw error
          return undefined
        }
      },
      { initialMs: turnPollMs, maxMs: turnPollMs, signal },
    )
  }

  async #claimNow(
    id: string,
    task: Task,
    signal: AbortSignal,
    { expected, timeoutMs, through }: ChangeOptions,
  ): Promise<Claimed> {
    const { directory, inspector } = this.#parts
    const definition = await directory.get(id)
    if (definition === undefined) throw vmNotFound(id)
    const holder = directory.holder(id)
    if (holder !== undefined) throw heldBy(holder)
    const { state, problem } = await inspector.lookAtRun(definition, { timeoutMs, signal })
    requireState(task.operation, state, expected, problem)
    try {
      return await directory.claim(id, through?.(state, definition) ?? state, state)
    } catch (error) {
      // It was deleted after it was read.
      if (errorCode(error) === 'ENOENT') throw vmNotFound(id)
      throw error
    }
  }
}
