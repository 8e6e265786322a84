/** QEMU's guest agent without awaitvm: a client that holds the agent's socket, and asks for the end of a program at a fixed interval. */
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createConnection, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import * as v from 'valibot'

/** As awaitvm's first wait. */
const pollMs = 5

const startedSchema = v.object({ pid: v.number() })
const statusSchema = v.object({
  exited: v.boolean(),
  exitcode: v.optional(v.number()),
  'out-data': v.optional(v.string(), ''),
})

export class RawAgent implements AsyncDisposable {
  readonly #socket: Socket
  readonly #waiting: ((answer: unknown) => void)[] = []
  #chunks: Buffer[] = []

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#take(chunk)
    })
  }

  /** Connects to the agent, and waits until it answers. */
  static async open(path: string): Promise<RawAgent> {
    const socket = createConnection(path)
    await once(socket, 'connect')
    const agent = new RawAgent(socket)
    await agent.ask('guest-sync', { id: randomInt(2 ** 40) })
    return agent
  }

  ask(execute: string, args: Readonly<Record<string, unknown>>): Promise<unknown> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      this.#socket.write(`${JSON.stringify({ execute, arguments: args })}\n`)
    })
  }

  /** Starts a program; answers the function that waits for its end, and has its output. */
  async start(path: string, ...arg: readonly string[]): Promise<() => Promise<Buffer>> {
    const { pid } = v.parse(startedSchema, await this.ask('guest-exec', { path, arg, 'capture-output': true }))
    return async () => {
      for (;;) {
        const status = v.parse(statusSchema, await this.ask('guest-exec-status', { pid }))
        if (status.exited) {
          if (status.exitcode !== 0) throw new Error(`${path} ${arg.join(' ')} failed`)
          return Buffer.from(status['out-data'], 'base64')
        }
        await delay(pollMs)
      }
    }
  }

  /** Runs a program, which must succeed; answers its output. */
  async run(path: string, ...arg: readonly string[]): Promise<Buffer> {
    return await (
      await this.start(path, ...arg)
    )()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise((resolve) => this.#socket.once('close', resolve).destroy())
  }

  #take(chunk: Buffer): void {
    let rest = chunk
    for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a)) {
      const line = Buffer.concat([...this.#chunks, rest.subarray(0, end)]).toString()
      this.#chunks = []
      rest = rest.subarray(end + 1)
      if (line.trim() !== '')
        this.#waiting.shift()?.(v.parse(v.object({ return: v.unknown() }), JSON.parse(line)).return)
    }
    if (rest.length > 0) this.#chunks.push(rest)
  }
}
