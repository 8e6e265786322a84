import type { DriverOperations } from '../../../driver/driver.js'
import type { Task } from '../../../driver/task.js'
import type { RunningVm } from '../vm-access.js'
import { AgentChannel } from './agent-channel.js'
import { AgentCommandError, agentError } from '../../../guest-agent/agent-errors.js'
import { guestAddresses } from '../../../guest-agent/guest-addresses.js'
import { catchUp } from '../../../guest-agent/guest-clock.js'
import { guestCommand } from '../../../guest-agent/guest-command.js'
import { GuestCopy } from '../../../guest-agent/guest-copy.js'
import { GuestExec } from '../../../guest-agent/guest-exec.js'

/** How long what is under way in guests may take to stop when the connection to the host is closed. */
const closingMs = 3000

/** Looks for a VM that runs, and uses it. */
type Use = <T>(vm: string, task: Task, action: (running: RunningVm) => Promise<T>) => Promise<T>

/** What the QEMU guest agent does. */
export class QemuGuest {
  readonly #channel = new AgentChannel()
  readonly #use: Use
  readonly #stops = new Set<() => void>()

  constructor(use: Use) {
    this.#use = use
  }

  readonly operations: DriverOperations = {
    'guest.exec': ({ vm, argv, options }, task) =>
      this.#inGuest(vm, task, async (running) => {
        const exec = new GuestExec(this.#channel, running, guestCommand(argv, options), task)
        task.cancelWith(() => exec.stop())
        const stop = (): void => {
          const stopping = exec.stop().catch(() => false)
          void stopping.then((isStopped) => {
            if (!isStopped) exec.abandon()
          })
        }
        return await this.#stoppable(stop, () => exec.result())
      }),
    'guest.getNetworkAddresses': ({ vm }, task) =>
      this.#inGuest(vm, task, (running) => this.#channel.turn(running, guestAddresses)),
    'guest.copyIn': ({ vm, from, to }, task) => this.#copy(vm, task, (copy) => copy.in(from, to)),
    'guest.copyOut': ({ vm, from, to }, task) => this.#copy(vm, task, (copy) => copy.out(from, to)),
  }

  /** Sets the clock of a guest that stood still. One whose agent can't be asked keeps the time that it has. */
  async catchUp(running: RunningVm): Promise<void> {
    try {
      await this.#channel.turn(running, catchUp)
    } catch (error) {
      const isRefused = error instanceof AgentCommandError && error.code !== 'CommandNotFound'
      if (!isRefused) return
      const { id } = running.definition
      process.emitWarning(`VM ${id}: the clock of its guest is not set: ${error.message}`, 'AwaitvmWarning')
    }
  }

  /** Stops what is under way, and waits until all that has ended. */
  async close(ended: Promise<unknown>): Promise<void> {
    for (const stop of this.#stops) stop()
    const late = setTimeout(() => {
      this.#channel.close()
    }, closingMs)
    await ended
    clearTimeout(late)
  }

  #copy(vm: string, task: Task, action: (copy: GuestCopy) => Promise<void>): Promise<void> {
    return this.#inGuest(vm, task, (running) => {
      const stop = new AbortController()
      const signal = AbortSignal.any([task.signal, stop.signal])
      return this.#stoppable(
        () => {
          stop.abort()
        },
        () => action(new GuestCopy(this.#channel, running, task, signal)),
      )
    })
  }

  async #inGuest<T>(vm: string, task: Task, action: (running: RunningVm) => Promise<T>): Promise<T> {
    // Touched before any waiting, so that the job can be cancelled from its first moment.
    const { signal } = task
    return await this.#use(vm, task, async (running) => {
      signal.throwIfAborted()
      try {
        return await action(running)
      } catch (error) {
        throw agentError(error, task.operation)
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
