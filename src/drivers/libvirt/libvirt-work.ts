import type { Sending } from '../../driver/host-work.js'
import type { Task } from '../../driver/task.js'
import { lostBeforeAnswer } from '../../errors/closed.js'
import { invalidState, requireState } from '../../errors/state.js'
import { ConnectionError } from '../../errors.js'
import { Exclusive } from '../../exclusive.js'
import type { VmRecord } from '../../model/vm-record.js'
import type { VmState } from '../../model/vm-state.js'
import { operations, type OperationSpec } from '../../operations.js'
import { libvirtError, mayBeOfState, nativeOf, type FailureContext } from './libvirt-errors.js'
import { isGone, type LibvirtHost } from './libvirt-host.js'
import { RemoteError } from './rpc/remote-error.js'

/** How a change is made. */
export interface ChangeOptions {
  /** The states in which the VM accepts it; those of the table of operations if absent. */
  readonly expected?: readonly VmState[]
  /** The parameter that an error in what is sent comes from. */
  readonly path?: string
  /** Whether other changes of the VM don't wait for the end of this one: it waits for the guest. */
  readonly isPatient?: boolean
}

/** The states in which the operation is possible. */
export const expectedStates = ({ operation }: Task): readonly VmState[] => {
  const { from = [] }: OperationSpec = operations[operation]
  return from
}

/** Work on the host and its VMs: looks at the VM first, asks for the change, and words what libvirt refuses. */
export class LibvirtWork {
  readonly #host: LibvirtHost
  readonly #exclusive = new Exclusive()

  constructor(host: LibvirtHost) {
    this.#host = host
  }

  /** Asks the host for something. */
  query<T>(task: Task, vm: string | undefined, action: () => Promise<T>): Promise<T> {
    const context = { operation: task.operation, vm }
    return this.#host.work.query(task, () => this.#explained(context, expectedStates(task), action))
  }

  /** Asks for something of a VM that has to be in one of the states of the table of operations. */
  queryInState<T>(task: Task, vm: string, action: (record: VmRecord) => Promise<T>): Promise<T> {
    return this.query(task, vm, async () => action(await this.#lookFirst(vm, task, expectedStates(task))))
  }

  /** Adds a VM to the host, once the action has called `send`. */
  add<T>(task: Task, path: string, action: (sending: Sending) => Promise<T>): Promise<T> {
    return this.#host.work.change(task, (sending) =>
      this.#explained({ operation: task.operation, path }, [], (watch) => action(watch(sending))),
    )
  }

  /**
   * Changes a VM that is in one of the states that the operation needs.
   *
   * @param action is given the VM as it was before; it calls `send` right before it changes something
   */
  change<T>(
    task: Task,
    vm: string,
    action: (record: VmRecord, send: () => void) => Promise<T>,
    { expected = expectedStates(task), path, isPatient = false }: ChangeOptions = {},
  ): Promise<T> {
    const context = { operation: task.operation, vm, path }
    return this.#host.work.change(task, (sending) =>
      this.#explained(context, expected, async (watch) => {
        const { signal, send } = watch(sending)
        const begin = async (): Promise<VmRecord> => {
          signal.throwIfAborted()
          return await this.#lookFirst(vm, task, expected)
        }
        const inTurn = <R>(work: () => Promise<R>): Promise<R> => this.#exclusive.run(vm, work)
        const during = <R>(work: () => Promise<R>): Promise<R> => this.#host.inventory.during(vm, work)
        if (!isPatient) return await inTurn(() => during(async () => action(await begin(), send)))
        const record = await inTurn(begin)
        return await during(() => action(record, send))
      }),
    )
  }

  /** Puts a VM in order, in its turn: no change of this connection is under way by then. */
  mend(vm: string, action: () => Promise<void>): Promise<void> {
    return this.#exclusive.run(vm, action)
  }

  /** The state that a change has led to, as libvirt tells it. */
  async reached(vm: string): Promise<VmState> {
    return (await this.#host.look(vm)).state
  }

  async #lookFirst(vm: string, task: Task, expected: readonly VmState[]): Promise<VmRecord> {
    const record = await this.#host.look(vm)
    requireState(task.operation, record.state, expected, record.problem)
    return record
  }

  /** Runs an action whose failures become errors of awaitvm: of a change that was sent, a lost connection leaves the outcome open. */
  async #explained<T>(
    context: FailureContext,
    expected: readonly VmState[],
    action: (watch: (sending: Sending) => Sending) => Promise<T>,
  ): Promise<T> {
    const sent = { is: false }
    const watch = ({ signal, send }: Sending): Sending => ({
      signal,
      send: () => {
        send()
        sent.is = true
      },
    })
    try {
      return await action(watch)
    } catch (error) {
      // The host's work words the errors of a connection that is closed.
      if (this.#host.work.isClosed) throw error
      if (error instanceof ConnectionError && sent.is) throw lostBeforeAnswer(error)
      throw await this.#explain(error, context, expected)
    }
  }

  /** Some of libvirt's drivers don't tell that the state is the reason. */
  async #explain(error: unknown, context: FailureContext, expected: readonly VmState[]): Promise<unknown> {
    const { vm } = context
    if (error instanceof RemoteError && vm !== undefined && mayBeOfState(error)) {
      try {
        const { state } = await this.#host.look(vm)
        if (expected.length > 0 && !expected.includes(state)) {
          return invalidState(state, expected, { native: nativeOf(error) })
        }
      } catch (failure) {
        if (isGone(failure)) return libvirtError(failure, context)
      }
    }
    return libvirtError(error, context)
  }
}
