import type { VmState } from '../model/vm-state.js'

/** The QEMU guest agent, for the length of a turn. */
export interface Agent {
  /** The command's return value; rejects with an `AgentCommandError` if the agent refuses it. */
  execute(command: string, args?: Readonly<Record<string, unknown>>, timeoutMs?: number): Promise<unknown>
}

/** The way to the agent of one guest. Hosts differ in it: a socket, or a call of the host that passes a command on. */
export interface GuestAgent {
  /** The VM's id. */
  readonly vm: string
  /** The name that errors give for the host. */
  readonly driver: string
  /**
   * Uses the agent exclusively, for less than a second, so that others get a turn soon. A turn is refused if the guest was reset or
   * started again since this object was made.
   * @throws AgentAbsentError, AgentSilentError, AgentConnectionError
   */
  turn<T>(action: (agent: Agent) => Promise<T>): Promise<T>
  /** The state of the VM at present. */
  look(): Promise<VmState>
}
