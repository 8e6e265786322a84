import type { Duplex } from 'node:stream'
import type { VmState } from '../model/vm-state.js'

/** The QEMU guest agent, for the length of a turn. Commands may be sent before the earlier ones are answered. */
export interface Agent {
  /** The command's return value; rejects with an `AgentCommandError` if the agent refuses it. */
  execute(command: string, args?: Readonly<Record<string, unknown>>, timeoutMs?: number): Promise<unknown>
  /** Rejects with an `AgentSilentError` if the agent does not answer. To be called before it is asked for something that can't be undone. */
  requireAnswer(): Promise<void>
}

/** The host's end of a serial port that the guest finds by its name, for much data: {@link portName}. */
interface BulkPort {
  /** Connects to the port, when no other use of this process is connected to it, and disconnects after the action. */
  use<T>(action: (socket: Duplex) => Promise<T>): Promise<T>
}

/** The processes that use the same guests. */
interface GuestClients {
  /** The name of this process and its connection to the host: at most 300 printable characters, without spaces. */
  readonly own: string
  /** Whether the process of that name has ended, for certain. The name comes from a guest, and may be anything. */
  hasEnded(name: string): boolean
}

/** The way to the agent of one guest. Hosts differ in it: a socket, or a call of the host that passes a command on. */
export interface GuestAgent {
  /** The VM's id. */
  readonly vm: string
  /** The name that errors give for the host. */
  readonly driver: string
  /**
   * Uses the agent, for less than a second, so that other processes get it soon; turns of this process share it. A turn is refused if
   * the guest was reset or started again since this object was made.
   * @throws AgentAbsentError, AgentSilentError, AgentConnectionError
   */
  turn<T>(action: (agent: Agent) => Promise<T>): Promise<T>
  readonly clients: GuestClients
  /** The state of the VM at present. */
  look(): Promise<VmState>
  /** Absent if the host has no such port. */
  readonly bulkPort?: BulkPort | undefined
}
