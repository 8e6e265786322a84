import type { ClientChannel } from 'ssh2'
import type { PtySize } from '../model/exec.js'
import type { Guard } from './guard.js'
import type { GuestConnection } from './guest-connection.js'

/** Room for one program on a connection. The server counts it from the opening of its channel to the end of that. */
export class SshSession {
  readonly connection: GuestConnection
  /** Ends programs with the connection. */
  readonly guard: Guard
  #closed: Promise<void> | undefined

  constructor(connection: GuestConnection, guard: Guard) {
    this.connection = connection
    this.guard = guard
  }

  /** Runs a command line, as {@link GuestConnection.exec} does. To be called once. */
  exec<T>(command: string, pty: PtySize | undefined, attach: (channel: ClientChannel) => T): Promise<T> {
    return this.connection.exec(command, pty, (channel) => {
      this.#closed = new Promise(
        (resolve) =>
          void channel.once('close', () => {
            resolve()
          }),
      )
      return attach(channel)
    })
  }

  /**
   * Resolves once the server does not count it any more: OpenSSH frees a session some time after it has got the end of the channel, but
   * before the answer to what it is asked then.
   */
  async freed(): Promise<void> {
    await this.#closed
    await this.connection.roundTrip()
  }
}
