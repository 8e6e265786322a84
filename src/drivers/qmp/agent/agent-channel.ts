import * as v from 'valibot'
import { invalidState } from '../../../errors/state.js'
import type { VmState } from '../../../model/vm-state.js'
import { Exclusive } from '../../../driver/exclusive.js'
import { runFiles } from '../run-files.js'
import type { RunningVm } from '../vm-access.js'
import { connectSocket } from '../process/socket.js'
import { AgentConnection } from '../../../guest-agent/agent-connection.js'
import { AgentAbsentError, AgentSilentError } from '../../../guest-agent/agent-errors.js'

const chardevsSchema = v.array(v.object({ label: v.string(), 'frontend-open': v.boolean() }))

/** How long it may take until it is one's turn among all processes, and the agent answers. */
const turnTimeoutMs = 10_000
/** How often to see whether an agent that is asked something is still there. */
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

  /** Uses the agent for less than a second, so that everybody else has a turn soon. */
  async turn<T>(vm: RunningVm, action: (agent: AgentConnection) => Promise<T>): Promise<T> {
    const askedAt = performance.now()
    return await this.#turns.run(vm.folder, async () => {
      this.#requireOpen()
      // It kept silent while this one waited for its turn already.
      if ((this.#silentAt.get(vm.folder) ?? 0) > askedAt) throw new AgentSilentError(turnTimeoutMs)
      const state = await vm.look()
      if (atRest.includes(state)) throw invalidState(state, ['running'])
      await requireAgent(vm)
      const agent = new AgentConnection(await connectSocket(vm.folder, runFiles.agent, turnTimeoutMs))
      this.#open.add(agent)
      const watch = setInterval(() => {
        requireAgent(vm).catch((error: unknown) => {
          agent.fail(error instanceof Error ? error : new AgentAbsentError())
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

  /** Ends what is under way. */
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

/** Throws where no agent has opened its port; one that has may be asked. */
async function requireAgent({ monitor }: RunningVm): Promise<void> {
  const chardevs = v.parse(chardevsSchema, await monitor((client) => client.execute('query-chardev')))
  if (!chardevs.some((chardev) => chardev.label === 'agent' && chardev['frontend-open'])) throw new AgentAbsentError()
}
