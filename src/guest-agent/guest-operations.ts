import type { DriverOperations } from '../driver/driver.js'
import { hostTask } from '../driver/host-task.js'
import { pause } from '../driver/backoff.js'
import type { Task } from '../driver/task.js'
import { getNetworkAddresses } from '../guest/guest-info.js'
import { guestOperations } from '../guest/guest-operations.js'
import type { GuestWay } from '../guest/guest-way.js'
import type { GuestAgent } from './agent.js'
import { AgentCommandError, agentError } from './agent-errors.js'
import { AgentWays } from './agent-ways.js'
import { guestAddresses } from './guest-addresses.js'
import { catchUp } from './guest-clock.js'
import { untilAnswered } from './until-answered.js'

/** How long operations in guests may take to stop when the connection to the host is closed. */
const closingMs = 3000

/** What a host does for the operations. */
export interface AgentHost {
  /** Uses the agent of a VM, or another way into its guest if the VM has one; rejects if the VM does not run. */
  use<T>(vm: string, task: Task, action: (guest: GuestAgent | GuestWay) => Promise<T>): Promise<T>
  /** Runs a program that outlives the connection. */
  readonly execDetached?: DriverOperations['guest.exec']
  /** Closes the connections to agents. Turns under way end with an error. */
  close(): Promise<void>
}

/** The operations of a driver whose guests run the QEMU guest agent. */
export class GuestOperations {
  readonly #host: AgentHost
  readonly #ways = new AgentWays()
  readonly operations: DriverOperations

  constructor(host: AgentHost) {
    this.#host = host
    this.operations = {
      ...guestOperations({
        use: (vm, task, action) => host.use(vm, task, (guest) => action(this.wayInto(guest, task))),
        execDetached: host.execDetached,
      }),
      'guest.getNetworkAddresses': ({ vm }, task) =>
        host.use(vm, task, (guest) => {
          const { operation } = task
          if (isWay(guest)) return getNetworkAddresses({ way: guest, operation, signal: task.signal })
          return untilAnswered(() => guest.turn(guestAddresses)).catch((error: unknown) => {
            throw agentError(error, operation, guest.driver)
          })
        }),
    }
  }

  wayInto(guest: GuestAgent | GuestWay, task: Task): GuestWay {
    return isWay(guest) ? guest : this.#ways.into(guest, hostTask(task))
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
    this.#ways.stop()
    const closed = new AbortController()
    const close = async (): Promise<void> => {
      await this.#ways.close()
      closed.abort()
    }
    ended.then(close, close)
    await pause(closingMs, closed.signal)
    await this.#host.close()
    await ended
  }
}

const isWay = (guest: GuestAgent | GuestWay): guest is GuestWay => 'run' in guest
