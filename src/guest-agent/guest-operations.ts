import { argvOf, bufferedProgram } from '../driver/buffered-program.js'
import type { DriverOperations } from '../driver/driver.js'
import type { Task } from '../driver/task.js'
import type { GuestAgent } from './agent.js'
import { AgentCommandError, agentError } from './agent-errors.js'
import { guestAddresses } from './guest-addresses.js'
import { catchUp } from './guest-clock.js'
import { guestCommand } from './guest-command.js'
import { GuestCopy } from './guest-copy.js'
import { GuestExec } from './guest-exec.js'

/** How long operations in guests may take to stop when the connection to the host is closed. */
const closingMs = 3000

/** What a host does for the operations. */
export interface GuestHost {
  /** Uses the agent of a VM; rejects if the VM does not run. */
  use<T>(vm: string, task: Task, action: (guest: GuestAgent) => Promise<T>): Promise<T>
  /** Ends the turns under way with an error, since the connection to the host is being closed. */
  abandon(): void
}

/** The operations of a driver whose guests run the QEMU guest agent. */
export class GuestOperations {
  readonly #host: GuestHost
  readonly #stops = new Set<() => void>()

  constructor(host: GuestHost) {
    this.#host = host
  }

  readonly operations: DriverOperations = {
    'guest.exec': ({ vm, command, options, io }, task) =>
      this.#inGuest(vm, task, (guest) =>
        bufferedProgram(io, async (input) => {
          const exec = new GuestExec(guest, guestCommand(argvOf(command), { ...options, input }), task)
          task.cancelWith(() => exec.stop())
          const stop = (): void => {
            const stopping = exec.stop().catch(() => false)
            void stopping.then((isStopped) => {
              if (!isStopped) exec.abandon()
            })
          }
          return await this.#stoppable(stop, () => exec.result())
        }),
      ),
    'guest.getNetworkAddresses': ({ vm }, task) => this.#inGuest(vm, task, (guest) => guest.turn(guestAddresses)),
    'guest.copyIn': ({ vm, from, to }, task) => this.#copy(vm, task, (copy) => copy.in(from, to)),
    'guest.copyOut': ({ vm, from, to }, task) => this.#copy(vm, task, (copy) => copy.out(from, to)),
  }

  /** Sets the clock of a guest that was paused or suspended, if its agent can be asked. */
  async catchUp(guest: GuestAgent): Promise<void> {
    try {
      await guest.turn(catchUp)
    } catch (error) {
      const isRefused = error instanceof AgentCommandError && error.code !== 'CommandNotFound'
      if (!isRefused) return
      process.emitWarning(`VM ${guest.vm}: the clock of its guest is not set: ${error.message}`, 'AwaitvmWarning')
    }
  }

  /** Stops what is under way, and waits until all of it has ended. */
  async close(ended: Promise<unknown>): Promise<void> {
    for (const stop of this.#stops) stop()
    const late = setTimeout(() => {
      this.#host.abandon()
    }, closingMs)
    await ended
    clearTimeout(late)
  }

  #copy(vm: string, task: Task, action: (copy: GuestCopy) => Promise<void>): Promise<void> {
    return this.#inGuest(vm, task, (guest) => {
      const stop = new AbortController()
      const signal = AbortSignal.any([task.signal, stop.signal])
      return this.#stoppable(
        () => {
          stop.abort()
        },
        () => action(new GuestCopy(guest, task, signal)),
      )
    })
  }

  async #inGuest<T>(vm: string, task: Task, action: (guest: GuestAgent) => Promise<T>): Promise<T> {
    // Touched before any waiting, so that the job can be cancelled from its first moment.
    const { signal } = task
    return await this.#host.use(vm, task, async (guest) => {
      signal.throwIfAborted()
      try {
        return await action(guest)
      } catch (error) {
        throw agentError(error, task.operation, guest.driver)
      }
    })
  }

  async #stoppable<T>(stop: () => void, action: () => Promise<T>): Promise<T> {
    this.#stops.add(stop)
    try {
      return await action()
    } finally {
      this.#stops.delete(stop)
    }
  }
}
