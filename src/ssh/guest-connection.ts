import type { Socket } from 'node:net'
import type { Client, ClientChannel, ClientErrorExtensions, ConnectConfig } from 'ssh2'
import { AuthenticationError, HostError, ProtocolError, type VmError } from '../errors.js'
import { nativeErrorOf } from '../errors/native.js'
import type { PtySize } from '../model/exec.js'
import { foreignKey, hostKeyAlgorithms, keyName, publicKey } from './host-key.js'
import { openGuestSocket, unavailable } from './guest-socket.js'
import { readPrivateKey, wrongKey, type SshLogin } from './ssh-login.js'

/** Longest time for the exchange of keys and the login, in a guest that is busy booting. */
const loginTimeoutMs = 20_000
/** A connection whose guest answers nothing for the product of the two is lost. */
const keepalive = { keepaliveInterval: 10_000, keepaliveCountMax: 3 } as const satisfies ConnectConfig
/** The ciphers that Node runs fastest come first. */
const cipher = [
  'aes128-gcm@openssh.com',
  'aes256-gcm@openssh.com',
  'aes128-ctr',
  'aes256-ctr',
  'chacha20-poly1305@openssh.com',
] as const satisfies NonNullable<ConnectConfig['algorithms']>['cipher']

/** A connection to the ssh server of a guest, with the user logged in. */
export class GuestConnection {
  readonly #client: Client
  readonly #driver: string
  readonly #socket: Socket
  /** The guest's public host key: `ssh-ed25519 AAAA…` */
  readonly hostKey: string
  /** The sessions for programs that the server counts at present. Its users keep it. */
  sessions = 0
  #lost: Error | undefined
  #isOpen = true

  private constructor(client: Client, socket: Socket, hostKey: string, driver: string) {
    this.#client = client
    this.#driver = driver
    this.#socket = socket
    this.hostKey = hostKey
    client.on('error', (error) => {
      this.#lost ??= error
    })
    client.on('close', () => {
      this.#isOpen = false
    })
  }

  /**
   * Connects and logs in.
   *
   * @param driver the driver's name, for errors
   * @throws GuestUnavailableError if no ssh server answers; AuthenticationError if the guest refuses the user, or has another host key
   */
  static async open(login: SshLogin, driver: string, signal: AbortSignal): Promise<GuestConnection> {
    const [{ default: ssh2 }, privateKey] = await Promise.all([import('ssh2'), readPrivateKey(login)])
    const parsed = ssh2.utils.parseKey(privateKey)
    if (parsed instanceof Error)
      throw wrongKey(`the private key ${login.privateKeyFile} can't be used: ${parsed.message}`)
    const socket = await openGuestSocket(login, driver, signal)
    const client = new ssh2.Client()
    let hostKey: string | undefined
    let greeting = ''
    try {
      await new Promise<void>((resolve, reject) => {
        const stop = (): void => {
          reject(signal.reason as Error)
        }
        signal.addEventListener('abort', stop)
        client.once('ready', resolve)
        client.on('banner', (text) => {
          greeting ||= text.slice(0, maxGreeting).trim()
        })
        client.on('error', (error) => {
          const isForeign = hostKey !== undefined && hostKey !== (login.hostKey ?? hostKey)
          reject(isForeign ? foreignKey(keyName(hostKey), login.hostKey) : loginError(error, login, driver))
        })
        client.once('close', () => {
          signal.removeEventListener('abort', stop)
          reject(unavailable(`its ssh server has closed the connection${greeting && `, saying: ${greeting}`}`, driver))
        })
        client.connect({
          sock: socket,
          username: login.user,
          privateKey,
          readyTimeout: loginTimeoutMs,
          ...keepalive,
          algorithms: { cipher: [...cipher], ...hostKeyAlgorithms(login.hostKey) },
          authHandler: ['publickey'],
          hostVerifier: (key: Buffer) => {
            hostKey = publicKey(key)
            return hostKey === (login.hostKey ?? hostKey)
          },
        })
        signal.throwIfAborted()
      })
      if (hostKey === undefined) throw new ProtocolError({ reason: 'its ssh server has shown no host key' })
      return new GuestConnection(client, socket, hostKey, driver)
    } catch (error) {
      client.destroy()
      socket.destroy()
      throw error
    }
  }

  /** Whether requests can be made. The library throws for those between the end of the socket and its close. */
  get isOpen(): boolean {
    return this.#isOpen && this.#socket.writable
  }

  /** Why the connection is gone. */
  get reason(): string {
    return this.#lost?.message ?? 'the ssh connection to its guest has ended'
  }

  /**
   * Runs a command line of the user's shell.
   *
   * @param attach gets the channel before anything that arrives on it
   * @throws ChannelRefusedError if the server opens no further channel; LostConnectionError if the connection is gone, also while it is
   *   unknown whether the command runs; HostError if the server runs no commands
   */
  exec<T>(command: string, pty: PtySize | undefined, attach: (channel: ClientChannel) => T): Promise<T> {
    const terminal = pty && { rows: pty.rows, cols: pty.columns, term: 'xterm-256color' }
    return new Promise((resolve, reject) => {
      if (!this.isOpen) {
        reject(new LostConnectionError(this.reason, false))
        return
      }
      const { sessions } = this
      this.#client.exec(command, terminal === undefined ? {} : { pty: terminal }, (error, channel) => {
        if (error === undefined) resolve(attach(channel))
        else reject(this.#execError(error, sessions))
      })
    })
  }

  /**
   * Resolves once the server has answered a request, before which it has read what was there to read. The request asks to close a
   * forward that is none, which every server refuses.
   */
  roundTrip(): Promise<void> {
    return new Promise((resolve) => {
      if (this.isOpen) {
        this.#client.unforwardIn('127.0.0.1', 1, () => {
          resolve()
        })
      } else resolve()
    })
  }

  /** Whether the connection keeps this process alive. */
  setInUse(isInUse: boolean): void {
    if (isInUse) this.#socket.ref()
    else this.#socket.unref()
  }

  close(reason: string): void {
    this.#lost ??= new Error(reason)
    this.#isOpen = false
    this.#client.end()
    this.#client.destroy()
  }

  #execError(error: Error, sessions: number): Error {
    // The words of the library for a command that was sent.
    const isSent = error.message === 'Unable to exec'
    if (!this.isOpen || error.message === 'No response from server') return new LostConnectionError(this.reason, isSent)
    // The server's code for the refusal of a channel.
    if ('reason' in error) return new ChannelRefusedError(error, sessions)
    return new HostError({
      reason: isSent ? 'its ssh server runs no commands for the user' : 'its ssh server gives the user no terminal',
      hint: 'Look into the log of the ssh server: its settings may forbid it, or the guest may have no memory or no processes left.',
      native: nativeErrorOf(this.#driver, error),
      cause: error,
    })
  }
}

/** The connection was lost. */
export class LostConnectionError extends Error {
  /** Whether the command may have been run. */
  readonly isSent: boolean

  constructor(reason: string, isSent: boolean) {
    super(reason)
    this.name = 'LostConnectionError'
    this.isSent = isSent
  }
}

/** The server opens no further channel on the connection. */
export class ChannelRefusedError extends Error {
  /**
   * Those for programs that the server may have counted, with the one that it refused, when it was asked for that. Some of them may have
   * ended by the time of the refusal.
   */
  readonly sessions: number

  constructor(cause: Error, sessions: number) {
    super(cause.message, { cause })
    this.name = 'ChannelRefusedError'
    this.sessions = sessions
  }
}

/** What a server says before a login is kept up to this length. */
const maxGreeting = 200

function loginError(error: Error & ClientErrorExtensions, login: SshLogin, driver: string): VmError {
  const native = nativeErrorOf(driver, error)
  switch (error.level) {
    case 'client-authentication':
      return new AuthenticationError({
        reason: `its guest does not let the user ${login.user} in with the key ${login.privateKeyFile}`,
        hint: `Add the public half of the key to ~${login.user}/.ssh/authorized_keys in the guest.`,
        native,
        cause: error,
      })
    case 'client-socket':
    case 'client-timeout':
      return unavailable(`its ssh server does not let anybody in: ${error.message}`, driver, error)
    default:
      // The words of the library.
      if (error.message.startsWith('Connection lost')) return unavailable(error.message, driver, error)
      if (login.hostKey !== undefined && error.message.includes('no matching host key format')) {
        return foreignKey('no host key of the pinned type', login.hostKey)
      }
      return new ProtocolError({
        reason: `the ssh server of its guest can't be talked to: ${error.message}`,
        native,
        cause: error,
      })
  }
}
