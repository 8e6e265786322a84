import { randomInt } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { ProtocolError } from '../errors.js'
import { LineSplitter } from '../line-splitter.js'
import type { Agent } from './agent.js'
import { AgentCommandError, AgentSilentError, AnswerLostError } from './agent-errors.js'
import { formatAgentCommand, formatSync, isAfterDelimiter, isSyncReply, parseAgentReply } from './agent-message.js'

/** The agent keeps 16 MiB of each of a program's two outputs (GUEST_EXEC_MAX_OUTPUT), and sends them in base64. */
const maxLineBytes = 48 * 2 ** 20
/** Longer than a slow guest takes for the largest answer. */
const answerTimeoutMs = 60_000
const closeTimeoutMs = 1000
/** How long an agent takes to answer at most when it has nothing else to do, and how long an answer shows that it does. */
const pingTimeoutMs = 10_000
const freshMs = 5

interface Waiting {
  readonly since: number
  /**
   * Whether the line is the awaited answer; throws if the agent may not send it.
   *
   * @param isFirst whether no answer is awaited before
   */
  take(line: string, isFirst: boolean): boolean
  reject(error: Error): void
}

/** An exclusive connection to the agent, which answers commands in their order. */
export class AgentConnection implements Agent {
  readonly #stream: Duplex
  readonly #lines = new LineSplitter(maxLineBytes)
  readonly #ended: Promise<void>
  readonly #waiting: Waiting[] = []
  #failure: Error | undefined
  #lastId = 0
  /** The question whether it answers that is under way. */
  #ping: Promise<unknown> | undefined
  #answeredAt = Number.NEGATIVE_INFINITY

  constructor(stream: Duplex) {
    this.#stream = stream
    stream.on('data', (chunk: Buffer) => {
      this.#receive(chunk)
    })
    stream.on('error', (error) => {
      this.fail(new AnswerLostError(error.message, error))
    })
    this.#ended = new Promise((resolve) => {
      stream.once('close', () => {
        this.fail(new AnswerLostError('the host closed the connection to the agent'))
        resolve()
      })
    })
  }

  /** Waits until it is this connection's turn, and the agent answers it. Call it first. */
  async synchronize(timeoutMs: number): Promise<void> {
    const id = randomInt(2 ** 47)
    await this.#ask(formatSync(id), (line) => isSyncReply(line, id) || undefined, timeoutMs)
  }

  async execute(
    command: string,
    args?: Readonly<Record<string, unknown>>,
    timeoutMs = answerTimeoutMs,
  ): Promise<unknown> {
    this.#lastId += 1
    const id = this.#lastId
    const reply = await this.#ask(
      formatAgentCommand(id, command, args),
      (line, isFirst) => {
        if (isAfterDelimiter(line)) return undefined
        const found = parseAgentReply(line)
        // Old agents do not repeat the id. All complain without one of what is no command, as of the delimiter before a synchronization.
        return found.id === id || (found.id === undefined && isFirst) ? found : undefined
      },
      timeoutMs,
    )
    if (reply.kind === 'failure') throw new AgentCommandError(reply.class, reply.desc)
    return reply.value
  }

  async requireAnswer(): Promise<void> {
    if (performance.now() < this.#answeredAt + freshMs) return
    this.#ping ??= this.execute('guest-ping', undefined, pingTimeoutMs).finally(() => {
      this.#ping = undefined
    })
    await this.#ping
  }

  /**
   * Asks an agent that is silent for something that it answers at once. One that was started again answers only that, so that what the
   * earlier one was asked is known to be lost.
   */
  probe(): void {
    this.execute('guest-ping').catch(() => {
      // It is told to those who wait for other answers, too.
    })
  }

  /** Whether the connection can be used. */
  get isOpen(): boolean {
    return this.#failure === undefined
  }

  /** How long the agent has not answered what it was asked, in milliseconds. */
  get silentMs(): number {
    const [first] = this.#waiting
    return first === undefined ? 0 : performance.now() - first.since
  }

  /** Ends the connection; commands that wait for their answers reject with the error. */
  fail(error: Error): void {
    this.#failure ??= error
    for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#failure)
    this.#stream.destroy()
  }

  async close(): Promise<void> {
    this.#stream.end()
    const timer = setTimeout(() => this.#stream.destroy(), closeTimeoutMs)
    await this.#ended
    clearTimeout(timer)
  }

  async #ask<T>(
    request: string | Uint8Array,
    read: (line: string, isFirst: boolean) => T | undefined,
    timeoutMs: number,
  ): Promise<T> {
    if (this.#failure !== undefined) throw this.#failure
    let timer: NodeJS.Timeout | undefined
    try {
      return await new Promise<T>((resolve, reject) => {
        const take = (line: string, isFirst: boolean): boolean => {
          const found = read(line, isFirst)
          if (found !== undefined) resolve(found)
          return found !== undefined
        }
        this.#waiting.push({ since: performance.now(), take, reject })
        // The next connection synchronizes, so that a late answer is not taken for its own.
        timer = setTimeout(() => {
          this.fail(new AgentSilentError(timeoutMs))
        }, timeoutMs)
        this.#stream.write(request)
      })
    } finally {
      clearTimeout(timer)
    }
  }

  #hear(line: string): void {
    const index = this.#waiting.findIndex((waiting, place) => waiting.take(line, place === 0))
    if (index < 0) return
    this.#answeredAt = performance.now()
    // The agent answers in order: what comes before was lost.
    for (const waiting of this.#waiting.splice(0, index + 1).slice(0, index)) waiting.reject(new AnswerLostError())
  }

  #receive(chunk: Buffer): void {
    try {
      for (const line of this.#lines.push(chunk)) {
        this.#hear(line)
      }
    } catch (cause) {
      this.fail(new ProtocolError({ reason: 'the agent in the guest sent something that is not an answer', cause }))
    }
  }
}
