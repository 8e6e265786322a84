import type { Duplex } from 'node:stream'
import { LineSplitter } from '../../../line-splitter.js'
import { QmpCommandError, QmpConnectionError, QmpTimeoutError } from './qmp-errors.js'
import { formatQmpCommand, parseQmpMessage, type QmpEvent, type QmpMessage, type QmpVersion } from './qmp-message.js'

/** QEMU's own limit for its input; its longest routine answer, the schema, has 186 KB. */
const maxLineBytes = 64 * 2 ** 20

export interface QmpClientOptions {
  /** How long the greeting may take: it only comes when no other client has the monitor. */
  readonly greetingTimeoutMs: number
  /** Enables out-of-band commands. */
  readonly withOutOfBand?: boolean | undefined
  /** Another process wrote to the stream before: QEMU's error about that, which has no id, is ignored. */
  readonly hasForeignBytes?: boolean | undefined
}

export interface QmpCommandOptions {
  readonly timeoutMs?: number | undefined
  /** Overtakes queued commands; needs `withOutOfBand`. */
  readonly isOutOfBand?: boolean | undefined
  /** Aborting it gives the answer up: QEMU may still carry the command out. */
  readonly signal?: AbortSignal | undefined
}

interface Pending {
  readonly command: string
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
  /** Ends the waiting for the answer. */
  readonly release: () => void
}

/** Longer than QEMU's main loop is ever blocked, except by a blocking command. */
const commandTimeoutMs = 30_000

/** A connection to a QMP monitor. Commands are sent at once, without waiting for the answers to others. */
export class QmpClient {
  readonly #stream: Duplex
  readonly #lines = new LineSplitter(maxLineBytes)
  readonly #pending = new Map<number, Pending>()
  readonly #listeners = new Set<(event: QmpEvent) => void>()
  readonly #ended: Promise<void>
  #greeted: ((greeting: Extract<QmpMessage, { kind: 'greeting' }>) => void) | undefined
  #failure: QmpConnectionError | undefined
  /** Ids of answered commands, to be used again: a short id costs QEMU less. */
  readonly #freeIds: number[] = []
  #lastId = 0
  #hasForeignBytes: boolean

  private constructor(stream: Duplex, hasForeignBytes = false) {
    this.#stream = stream
    this.#hasForeignBytes = hasForeignBytes
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

  /** Waits for the greeting, and negotiates capabilities. Destroys the stream if that fails. */
  static async open(stream: Duplex, options: QmpClientOptions): Promise<QmpClient> {
    const client = new QmpClient(stream, options.hasForeignBytes)
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

  /** The command's return value; rejects with a {@link QmpCommandError} if QEMU refuses it. */
  execute(
    command: string,
    args?: Readonly<Record<string, unknown>>,
    { timeoutMs = commandTimeoutMs, isOutOfBand = false, signal }: QmpCommandOptions = {},
  ): Promise<unknown> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    const id = this.#freeIds.pop() ?? this.#nextId()
    return new Promise((resolve, reject) => {
      const giveUp = (error: Error): void => {
        // The id is not used again: the answer may still come.
        this.#pending.delete(id)
        release()
        reject(error)
      }
      const stop = (): void => {
        giveUp(signal?.reason instanceof Error ? signal.reason : new DOMException('it was aborted', 'AbortError'))
      }
      const timer = setTimeout(() => {
        giveUp(new QmpTimeoutError(command, timeoutMs))
      }, timeoutMs)
      const release = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', stop)
      }
      if (signal?.aborted === true) {
        stop()
        return
      }
      signal?.addEventListener('abort', stop)
      this.#pending.set(id, { command, resolve, reject, release })
      this.#stream.write(formatQmpCommand(id, command, args, isOutOfBand))
    })
  }

  /** Calls the listener at each event until the returned function is called. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Closes the connection after QEMU has read everything: a connection that is just destroyed may lose a command. */
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
      this.#fail(new QmpConnectionError('QEMU sent something that is not a QMP message', error))
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
        // An error without an id: QEMU could not read its input, so that the outcome of all commands is unknown.
        if (message.id === undefined) {
          if (!this.#hasForeignBytes) throw new Error(message.desc)
          this.#hasForeignBytes = false
          break
        }
        this.#settle(message.id, ({ command, reject }) => {
          reject(new QmpCommandError(command, message.class, message.desc))
        })
    }
  }

  /** Ignores answers that come after the command's time. */
  #settle(id: unknown, settle: (pending: Pending) => void): void {
    if (typeof id !== 'number') throw new Error(`an answer to the command ${JSON.stringify(id)}, which was not sent`)
    const pending = this.#pending.get(id)
    if (pending === undefined) return
    this.#pending.delete(id)
    this.#freeIds.push(id)
    pending.release()
    settle(pending)
  }

  #nextId(): number {
    this.#lastId += 1
    return this.#lastId
  }

  #fail(error: QmpConnectionError): void {
    this.#failure ??= error
    for (const { reject, release } of this.#pending.values()) {
      release()
      reject(this.#failure)
    }
    this.#pending.clear()
  }
}
