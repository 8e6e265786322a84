import { randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { ProgramIo } from '../driver/program-io.js'
import { AgentConnectionError } from './agent-errors.js'
import { UntilMark } from './until-mark.js'

/** The input or the output of one program, by the port for much data. */
export class BulkTransfer {
  readonly direction: 'in' | 'out'
  /** Both sides send it first: only the client that QEMU has accepted, and the program that has opened the port, get to read it. */
  readonly word = randomBytes(12).toString('hex')
  readonly #socket: Duplex
  readonly #io: ProgramIo
  readonly #mark: string

  /** @param mark what the shell in the guest sends after the output */
  constructor(socket: Duplex, io: ProgramIo, mark: string) {
    this.#socket = socket
    this.#io = io
    this.#mark = mark
    this.direction = io.input === undefined ? 'out' : 'in'
    // What waits for the socket tells of the error.
    socket.on('error', () => undefined)
  }

  /** Passes all on, once the program has the port. */
  async run(): Promise<void> {
    this.#socket.write(`${this.word}\n`)
    const opening = new UntilMark(`${this.word}\n`)
    const closing = new UntilMark(this.#mark)
    for await (const chunk of this.#socket.iterator({ destroyOnReturn: false })) {
      const { isLast: isOpen, rest } = opening.push(chunk as Buffer)
      if (!isOpen) continue
      if (this.#io.input !== undefined) {
        await this.#send(this.#io.input)
        return
      }
      if (await this.#pass(closing, rest)) return
      break
    }
    for await (const chunk of this.#socket.iterator({ destroyOnReturn: false })) {
      if (await this.#pass(closing, chunk as Buffer)) return
    }
    throw new AgentConnectionError('the host closed the port for much data')
  }

  async #pass(closing: UntilMark, chunk: Buffer): Promise<boolean> {
    const { bytes, isLast } = closing.push(chunk)
    if (bytes.byteLength > 0) await this.#io.output('stdout', bytes)
    return isLast
  }

  /** Sends the input. The end of this side is that of the program's input, after all bytes. */
  async #send(input: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const bytes of input) {
      if (this.#socket.destroyed) return
      if (!this.#socket.write(bytes)) await untilDrained(this.#socket)
    }
    this.#socket.end()
  }
}

/** Waits until more can be written, or the stream is closed. */
const untilDrained = (socket: Duplex): Promise<void> =>
  new Promise((resolve) => {
    const end = (): void => {
      socket.off('drain', end).off('close', end)
      resolve()
    }
    socket.on('drain', end).on('close', end)
  })
