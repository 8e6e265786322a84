import { HostError } from '../errors.js'
import { nativeErrorOf } from '../errors/native.js'
import { Guard } from './guard.js'
import { ChannelRefusedError, LostConnectionError, type GuestConnection } from './guest-connection.js'
import { unavailable } from './guest-socket.js'
import { SshSession } from './ssh-session.js'

/** OpenSSH takes 10 sessions on a connection (sshd_config(5), MaxSessions). One of them is the guard. */
const maxSessions = 10 - 1
/** 90 programs at once on a usual server. */
const maxConnections = 10
/** How long a connection without a program is kept. */
const idleMs = 10_000

interface Kept {
  readonly connection: GuestConnection
  readonly guard: Guard
  /** Programs on it. */
  programs: number
  /** How many sessions the server takes. */
  capacity: number
}

interface Waiter {
  readonly take: (kept: Kept) => void
  readonly fail: (error: Error) => void
}

/** The connections to one guest. Each carries several programs. Further ones are made when all are full, and kept for a while. */
export class GuestConnections {
  readonly #driver: string
  readonly #open: (signal: AbortSignal) => Promise<GuestConnection>
  readonly #kept = new Set<Kept>()
  readonly #waiters = new Set<Waiter>()
  readonly #closing = new AbortController()
  #isOpening = false
  #idle: NodeJS.Timeout | undefined

  /** @param driver the driver's name, for errors */
  constructor(driver: string, open: (signal: AbortSignal) => Promise<GuestConnection>) {
    this.#driver = driver
    this.#open = open
  }

  /**
   * Uses a connection with room for one more program. If the server takes no more programs on that, or it is found to be lost before
   * anything was sent, another connection is used.
   *
   * @param signal ends the waiting
   * @throws HostError if the server takes no programs at all
   */
  async use<T>(signal: AbortSignal, action: (session: SshSession) => Promise<T>): Promise<T> {
    for (let losses = 0; ;) {
      const kept = await this.#take(signal)
      const session = new SshSession(kept.connection, kept.guard)
      try {
        return await action(session)
      } catch (error) {
        if (error instanceof LostConnectionError && !error.isSent) {
          losses += 1
          if (losses > 1) throw error
          continue
        }
        if (!(error instanceof ChannelRefusedError)) throw error
        if (error.sessions === 1) throw noSessions(error, this.#driver)
        kept.capacity = Math.min(kept.capacity, error.sessions - 1)
      } finally {
        this.#giveBack(kept, session)
      }
    }
  }

  /** Whether there is no connection any more. */
  get isIdle(): boolean {
    return this.#kept.size === 0 && this.#waiters.size === 0
  }

  /** Ends all connections, and with them what runs on them. */
  close(reason: string): void {
    clearTimeout(this.#idle)
    const closed = new DOMException(reason, 'AbortError')
    this.#closing.abort(closed)
    for (const { connection } of this.#kept) connection.close(reason)
    for (const { fail } of this.#waiters) fail(closed)
    this.#kept.clear()
  }

  async #take(signal: AbortSignal): Promise<Kept> {
    signal.throwIfAborted()
    this.#closing.signal.throwIfAborted()
    clearTimeout(this.#idle)
    const free = this.#free()
    if (free !== undefined) return this.#load(free)
    return await new Promise<Kept>((resolve, reject) => {
      const forget = (): void => {
        this.#waiters.delete(waiter)
        signal.removeEventListener('abort', stop)
      }
      const stop = (): void => {
        forget()
        reject(signal.reason as Error)
      }
      const waiter: Waiter = {
        take: (kept) => {
          forget()
          resolve(kept)
        },
        fail: (error) => {
          forget()
          reject(error)
        },
      }
      signal.addEventListener('abort', stop)
      this.#waiters.add(waiter)
      void this.#openFurther()
    })
  }

  #free(): Kept | undefined {
    for (const kept of this.#kept) {
      if (!kept.connection.isOpen) this.#kept.delete(kept)
      else if (kept.connection.sessions < kept.capacity) return kept
    }
    return undefined
  }

  #load(kept: Kept): Kept {
    kept.connection.sessions += 1
    kept.programs += 1
    if (kept.programs === 1) kept.connection.setInUse(true)
    return kept
  }

  #giveBack(kept: Kept, session: SshSession): void {
    kept.programs -= 1
    if (kept.programs === 0) kept.connection.setInUse(false)
    if ([...this.#kept].every(({ programs }) => programs === 0)) this.#closeLater()
    void session.freed().then(() => {
      kept.connection.sessions -= 1
      this.#serve()
    })
  }

  /** Gives connections with room to those that wait, and opens a further one if there is not enough. */
  #serve(): void {
    for (const waiter of this.#waiters) {
      const free = this.#free()
      if (free === undefined) {
        void this.#openFurther()
        return
      }
      waiter.take(this.#load(free))
    }
  }

  /** One at a time: a server refuses connections if too many are not logged in yet. */
  async #openFurther(): Promise<void> {
    if (this.#isOpening || this.#kept.size >= maxConnections) return
    this.#isOpening = true
    try {
      const connection = await this.#open(this.#closing.signal)
      const guard = await this.#guarded(connection)
      this.#kept.add({ connection, guard, programs: 0, capacity: maxSessions })
      connection.setInUse(false)
    } catch (error) {
      // Those that wait are served by the programs that end, if there are any.
      const failure = error instanceof Error ? error : new Error(String(error))
      if (this.#kept.size === 0) for (const { fail } of this.#waiters) fail(failure)
      return
    } finally {
      this.#isOpening = false
    }
    this.#serve()
  }

  async #guarded(connection: GuestConnection): Promise<Guard> {
    const { signal } = this.#closing
    const stop = (): void => {
      connection.close('it is not wanted any more')
    }
    signal.addEventListener('abort', stop)
    try {
      const guard = await Guard.start(connection)
      signal.throwIfAborted()
      return guard
    } catch (error) {
      stop()
      if (error instanceof ChannelRefusedError) throw noSessions(error, this.#driver)
      // No program has been sent.
      throw error instanceof LostConnectionError ? unavailable(error.message, this.#driver, error) : error
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  #closeLater(): void {
    clearTimeout(this.#idle)
    this.#idle = setTimeout(() => {
      for (const { connection } of this.#kept) connection.close('nothing has used it')
      this.#kept.clear()
    }, idleMs)
    this.#idle.unref()
  }
}

const noSessions = (error: ChannelRefusedError, driver: string): HostError =>
  new HostError({
    reason: 'its ssh server takes too few sessions on a connection',
    hint: 'Set MaxSessions in the configuration of sshd to 2 or more; its default is 10.',
    native: nativeErrorOf(driver, error.cause),
    cause: error,
  })
