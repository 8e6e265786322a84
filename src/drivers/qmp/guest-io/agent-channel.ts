import * as v from 'valibot'
import { Exclusive } from '../../../exclusive.js'
import { invalidState } from '../../../errors/state.js'
import { AgentConnection } from '../../../guest-agent/agent-connection.js'
import { AgentAbsentError, AgentConnectionError, AgentSilentError } from '../../../guest-agent/agent-errors.js'
import type { Agent, GuestAgent } from '../../../guest-agent/agent.js'
import type { VmState } from '../../../model/vm-state.js'
import { connectSocket } from '../process/socket.js'
import { QmpConnectionError } from '../protocol/qmp-errors.js'
import { runFiles } from '../run-files.js'
import type { RunningVm } from '../vm-access.js'

const chardevsSchema = v.array(v.object({ label: v.string(), 'frontend-open': v.boolean() }))

/** Longest wait for one's turn among all processes, and for the agent's answer. */
const turnTimeoutMs = 10_000
/** How often to check that an agent that is asked something is still there. */
const watchMs = 1000

const atRest: readonly VmState[] = ['stopped', 'paused', 'suspended', 'crashed']

/**
 * The way to the agents in guests. QEMU gives an agent to one client at a time, of all processes, and lets the others wait
 * in line: so everybody takes short turns, each with a connection of its own.
 */
export class AgentChannel {
  readonly #turns = new Exclusive()
  readonly #open = new Set<AgentConnection>()
  /** By the VM's folder, when its agent was last found silent. */
  readonly #silentAt = new Map<string, number>()
  #isClosed = false

  agentOf(vm: RunningVm): GuestAgent {
    return {
      vm: vm.definition.id,
      driver: 'qmp',
      look: vm.look,
      turn: (action) =>
        this.#turn(vm, action).catch((error: unknown) => {
          throw asAgentError(error)
        }),
    }
  }

  async #turn<T>(vm: RunningVm, action: (agent: Agent) => Promise<T>): Promise<T> {
    const askedAt = performance.now()
    return await this.#turns.run(vm.folder, async () => {
      this.#requireOpen()
      // The agent was found silent while this turn waited.
      if ((this.#silentAt.get(vm.folder) ?? 0) > askedAt) throw new AgentSilentError(turnTimeoutMs)
      const state = await vm.look()
      if (atRest.includes(state)) throw invalidState(state, ['running'])
      await requireAgent(vm)
      const agent = new AgentConnection(await connectSocket(vm.folder, runFiles.agent, turnTimeoutMs))
      this.#open.add(agent)
      const watch = setInterval(() => {
        requireAgent(vm).catch((error: unknown) => {
          agent.fail(asAgentError(error))
        })
      }, watchMs)
      try {
        await this.#synchronize(vm.folder, agent)
        await vm.requireSameLife()
        return await action(agent)
      } finally {
        clearInterval(watch)
        await agent.close()
        this.#open.delete(agent)
      }
    })
  }

  /** Ends the turns under way. */
  close(): void {
    this.#isClosed = true
    for (const agent of this.#open) agent.fail(closed())
  }

  async #synchronize(folder: string, agent: AgentConnection): Promise<void> {
    this.#requireOpen()
    try {
      await agent.synchronize(turnTimeoutMs)
      this.#silentAt.delete(folder)
    } catch (error) {
      if (error instanceof AgentSilentError) this.#silentAt.set(folder, performance.now())
      throw error
    }
  }

  #requireOpen(): void {
    if (this.#isClosed) throw closed()
  }
}

const closed = (): DOMException => new DOMException('the server was closed', 'AbortError')

/** A QEMU that can't be reached takes the connection to its agent with it. */
function asAgentError(error: unknown): Error {
  if (error instanceof QmpConnectionError) return new AgentConnectionError(error.message, error)
  return error instanceof Error ? error : new AgentConnectionError(String(error))
}

/** Throws unless an agent has opened its port. */
async function requireAgent({ monitor }: RunningVm): Promise<void> {
  const chardevs = v.parse(chardevsSchema, await monitor((client) => client.execute('query-chardev')))
  if (!chardevs.some((chardev) => chardev.label === 'agent' && chardev['frontend-open'])) throw new AgentAbsentError()
}
