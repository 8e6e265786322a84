import type { Duplex } from 'node:stream'
import { LineSplitter } from '../../../line-splitter.js'
import { QmpCommandError, QmpConnectionError, QmpTimeoutError } from './qmp-errors.js'
import { formatQmpCommand, parseQmpMessage, type QmpEvent, type QmpMessage, type QmpVersion } from './qmp-message.js'

/** QEMU's own limit for what it reads; its longest routine answer, the schema, has 186 KB. */
const maxLineBytes = 64 * 2 ** 20

export interface QmpClientOptions {
  /** How long the greeting may take: it only comes once nobody else has the monitor. */
  readonly greetingTimeoutMs: number
  /** Asks for commands out of band, for those that take them. */
  readonly withOutOfBand?: boolean | undefined
}

export interface QmpCommandOptions {
  readonly timeoutMs?: number | undefined
  /** Goes past the commands that wait; only after `withOutOfBand`. */
  readonly isOutOfBand?: boolean | undefined
}

interface Pending {
  readonly command: string
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

/** Longer than QEMU's main loop stands still for, unless it works on something that was asked of it. */
const commandTimeoutMs = 30_000

/** A connection to a QMP monitor: commands go out at once, any number of them, and each gets its own answer. */
export class QmpClient {
  readonly #stream: Duplex
  readonly #lines = new LineSplitter(maxLineBytes)
  readonly #pending = new Map<number, Pending>()
  readonly #listeners = new Set<(event: QmpEvent) => void>()
  readonly #ended: Promise<void>
  #greeted: ((greeting: Extract<QmpMessage, { kind: 'greeting' }>) => void) | undefined
  #failure: QmpConnectionError | undefined
  /** Ids that were answered, and are given again: a short one costs QEMU less. */
  readonly #freeIds: number[] = []
  #lastId = 0

  private constructor(stream: Duplex) {
    this.#stream = stream
    stream.on('data', (chunk: Buffer) => {
      this.#receive(chunk)
    })
    stream.on('error', (error) => {
      this.#fail(new QmpConnectionError(error.message, error))
    })
    this.#ended = new Promise((resolve) => {
      stream.once('close', () => {
        this.#fail(new QmpConnectionError('QEMU closed the connection'))
        resolve()
      })
    })
  }

  /** Waits for the greeting, and leaves the negotiation behind. Destroys the stream where that fails. */
  static async open(stream: Duplex, options: QmpClientOptions): Promise<QmpClient> {
    const client = new QmpClient(stream)
    try {
      const { capabilities } = await client.#greeting(options.greetingTimeoutMs)
      const enable = options.withOutOfBand === true ? capabilities.filter((name) => name === 'oob') : []
      const args = enable.length === 0 ? undefined : { enable }
      await client.execute('qmp_capabilities', args, { timeoutMs: options.greetingTimeoutMs })
      return client
    } catch (error) {
      stream.destroy()
      throw error
    }
  }

  /** What the command returned; rejects with a {@link QmpCommandError} where QEMU says no. */
  execute(
    command: string,
    args?: Readonly<Record<string, unknown>>,
    { timeoutMs = commandTimeoutMs, isOutOfBand = false }: QmpCommandOptions = {},
  ): Promise<unknown> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    const id = this.#freeIds.pop() ?? this.#nextId()
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        // Its id is not given again: the answer may still come.
        this.#pending.delete(id)
        reject(new QmpTimeoutError(command, timeoutMs))
      }, timeoutMs)
      this.#pending.set(id, { command, resolve, reject, timer })
      this.#stream.write(formatQmpCommand(id, command, args, isOutOfBand))
    })
  }

  /** Calls the listener at each event until the returned function is called. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Lets go of the monitor. A connection that is simply destroyed may take a command along that QEMU has not read. */
  async close(): Promise<void> {
    this.#stream.end()
    const timer = setTimeout(() => this.#stream.destroy(), 1000)
    await this.#ended
    clearTimeout(timer)
  }

  async #greeting(
    timeoutMs: number,
  ): Promise<{ readonly version: QmpVersion; readonly capabilities: readonly unknown[] }> {
    let timer: NodeJS.Timeout | undefined
    try {
      return await new Promise((resolve, reject) => {
        this.#greeted = resolve
        void this.#ended.then(() => {
          reject(this.#failure ?? new QmpConnectionError('QEMU closed the connection'))
        })
        timer = setTimeout(() => {
          reject(new QmpTimeoutError('the connection', timeoutMs))
        }, timeoutMs)
      })
    } finally {
      clearTimeout(timer)
      this.#greeted = undefined
    }
  }

  #receive(chunk: Buffer): void {
    try {
      for (const line of this.#lines.push(chunk)) this.#take(parseQmpMessage(line))
    } catch (error) {
      this.#fail(new QmpConnectionError('QEMU sent what is no QMP message', error))
      this.#stream.destroy()
    }
  }

  #take(message: QmpMessage): void {
    switch (message.kind) {
      case 'greeting':
        this.#greeted?.(message)
        break
      case 'event':
        for (const listener of this.#listeners) listener(message.event)
        break
      case 'reply':
        this.#settle(message.id, (pending) => {
          pending.resolve(message.value)
        })
        break
      case 'failure':
        // Without an id, QEMU could not read what it was sent, and nobody can say what became of the commands.
        if (message.id === undefined) throw new Error(message.desc)
        this.#settle(message.id, ({ command, reject }) => {
          reject(new QmpCommandError(command, message.class, message.desc))
        })
    }
  }

  /** An answer that comes after its time is nobody's any more. */
  #settle(id: unknown, settle: (pending: Pending) => void): void {
    if (typeof id !== 'number') throw new Error(`an answer to the command ${JSON.stringify(id)}, which was not sent`)
    const pending = this.#pending.get(id)
    if (pending === undefined) return
    this.#pending.delete(id)
    this.#freeIds.push(id)
    clearTimeout(pending.timer)
    settle(pending)
  }

  #nextId(): number {
    this.#lastId += 1
    return this.#lastId
  }

  #fail(error: QmpConnectionError): void {
    this.#failure ??= error
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer)
      reject(this.#failure)
    }
    this.#pending.clear()
  }
}
