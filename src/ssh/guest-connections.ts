import type { GuestConnection } from './guest-connection.js'
import { ChannelRefusedError } from './guest-connection.js'

/** OpenSSH takes 10 sessions on a connection (sshd_config(5), MaxSessions). */
const maxSessions = 10
/** 100 programs at once on a usual server. */
const maxConnections = 10
/** How long a connection without a program is kept. */
const idleMs = 10_000

interface Kept {
  readonly connection: GuestConnection
  /** Programs on it, and how many the server takes. */
  load: number
  capacity: number
}

interface Waiter {
  readonly take: (kept: Kept) => void
  readonly fail: (error: Error) => void
}

/** The connections to one guest. Each carries several programs. Further ones are made when all are full, and kept for a while. */
export class GuestConnections {
  readonly #open: (signal: AbortSignal) => Promise<GuestConnection>
  readonly #kept = new Set<Kept>()
  readonly #waiters = new Set<Waiter>()
  readonly #closing = new AbortController()
  #isOpening = false
  #idle: NodeJS.Timeout | undefined

  constructor(open: (signal: AbortSignal) => Promise<GuestConnection>) {
    this.#open = open
  }

  /**
   * Uses a connection with room for one more program. If the server takes no more programs on that, another connection is used.
   *
   * @param signal ends the waiting
   */
  async use<T>(signal: AbortSignal, action: (connection: GuestConnection) => Promise<T>): Promise<T> {
    for (;;) {
      const kept = await this.#take(signal)
      try {
        return await action(kept.connection)
      } catch (error) {
        // On a connection without any program, the server takes none at all.
        if (!(error instanceof ChannelRefusedError) || kept.load === 1) throw error
        kept.capacity = Math.min(kept.capacity, kept.load - 1)
      } finally {
        this.#giveBack(kept)
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
      else if (kept.load < kept.capacity) return kept
    }
    return undefined
  }

  #load(kept: Kept): Kept {
    kept.load += 1
    if (kept.load === 1) kept.connection.setInUse(true)
    return kept
  }

  #giveBack(kept: Kept): void {
    kept.load -= 1
    if (kept.load === 0) kept.connection.setInUse(false)
    this.#serve()
    if ([...this.#kept].every(({ load }) => load === 0)) this.#closeLater()
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
      this.#kept.add({ connection, load: 0, capacity: maxSessions })
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

  #closeLater(): void {
    clearTimeout(this.#idle)
    this.#idle = setTimeout(() => {
      for (const { connection } of this.#kept) connection.close('nothing has used it')
      this.#kept.clear()
    }, idleMs)
    this.#idle.unref()
  }
}
