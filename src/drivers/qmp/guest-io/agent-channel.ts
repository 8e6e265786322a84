import type { Duplex } from 'node:stream'
import { Exclusive } from '../../../exclusive.js'
import type { Membership } from '../../../registry/membership.js'
import { formatIdentity, parseIdentity } from '../../../registry/process-identity.js'
import type { GuestAgent } from '../../../guest-agent/agent.js'
import { connectSocket } from '../process/socket.js'
import { runFiles } from '../run-files.js'
import type { RunningVm } from '../vm-access.js'
import { HeldAgent } from './held-agent.js'

/** The ways to the agents in guests. */
export class AgentChannel {
  /** By the VM's folder. */
  readonly #held = new Map<string, HeldAgent>()
  readonly #ports = new Exclusive()
  readonly #member: Membership

  constructor(member: Membership) {
    this.#member = member
  }

  agentOf(vm: RunningVm): GuestAgent {
    return {
      vm: vm.definition.id,
      driver: 'qmp',
      clients: {
        own: formatIdentity(this.#member.identity),
        hasEnded: (name) => this.#hasEnded(name),
      },
      look: vm.look,
      turn: (action) => this.#agentIn(vm.folder).turn(vm, action),
      bulkPort: { use: (action) => this.#ports.run(vm.folder, () => withPort(vm.folder, action)) },
    }
  }

  /** Whether the agent in the guest answers at once, which shows that its guest runs. False if it was not used lately. */
  async answers(folder: string): Promise<boolean> {
    return (await this.#held.get(folder)?.answers()) === true
  }

  /** Ends the turns under way. */
  async close(): Promise<void> {
    await Promise.all([...this.#held.values()].map((agent) => agent.close()))
  }

  #hasEnded(name: string): boolean {
    const identity = parseIdentity(name)
    return identity !== undefined && !this.#member.isAlive(identity)
  }

  #agentIn(folder: string): HeldAgent {
    let agent = this.#held.get(folder)
    if (agent === undefined) {
      agent = new HeldAgent(folder, () => void this.#held.delete(folder))
      this.#held.set(folder, agent)
    }
    return agent
  }
}

const connectTimeoutMs = 10_000
/** Much is then read and written at once while a piece is written to the disk: with the usual 16 KiB, it takes a fifth longer. */
const bufferedBytes = 2 ** 20

async function withPort<T>(folder: string, action: (socket: Duplex) => Promise<T>): Promise<T> {
  const socket = await connectSocket(folder, runFiles.bulk, connectTimeoutMs, bufferedBytes)
  try {
    return await action(socket)
  } finally {
    socket.destroy()
  }
}
