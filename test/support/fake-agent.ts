import { mkdtemp, rm } from 'node:fs/promises'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { once } from 'node:events'

interface AgentCommand {
  readonly execute: string
  readonly arguments?: Readonly<Record<string, unknown>>
  readonly id?: number
}

/** A fake guest agent on a Unix socket, controlled by the test. */
export class FakeAgent implements AsyncDisposable {
  readonly #folder: string
  readonly #server: Server
  readonly #waiting: (() => void)[] = []
  #guest: Socket | undefined
  #received = Buffer.alloc(0)

  private constructor(folder: string, server: Server) {
    this.#folder = folder
    this.#server = server
    server.on('connection', (socket) => {
      this.#guest = socket
      socket.on('error', () => undefined)
      socket.on('data', (chunk) => {
        this.#received = Buffer.concat([this.#received, chunk])
        for (const wake of this.#waiting.splice(0)) wake()
      })
    })
  }

  static async listen(): Promise<FakeAgent> {
    const folder = await mkdtemp(join(tmpdir(), 'awaitvm-agent-'))
    const server = createServer().listen(join(folder, 'agent.sock'))
    await once(server, 'listening')
    return new FakeAgent(folder, server)
  }

  async connect(): Promise<Socket> {
    const socket = createConnection(join(this.#folder, 'agent.sock'))
    await once(socket, 'connect')
    return socket
  }

  /** The next line of the client, and whether the byte that resets the agent's parser comes before it. */
  async next(): Promise<AgentCommand & { readonly isDelimited: boolean }> {
    let end = this.#received.indexOf('\n')
    while (end < 0) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
      end = this.#received.indexOf('\n')
    }
    const isDelimited = this.#received[0] === 0xff
    const line = this.#received.toString('utf8', isDelimited ? 1 : 0, end)
    this.#received = this.#received.subarray(end + 1)
    return { ...JSON.parse(line), isDelimited }
  }

  /** Answers the request for a synchronization. */
  async synchronize(): Promise<void> {
    const { arguments: args } = await this.next()
    this.say(Buffer.of(0xff), `{"return": ${String(args?.['id'])}}\n`)
  }

  say(...parts: readonly (string | Uint8Array)[]): void {
    for (const part of parts) this.#guest?.write(part)
  }

  hangUp(): void {
    this.#guest?.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.hangUp()
    this.#server.close()
    await once(this.#server, 'close')
    await rm(this.#folder, { recursive: true })
  }
}
