/** A virtio-serial port of one's own, which the guest reads with `head` and writes with `cat`. */
import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { createConnection } from 'node:net'
import { pipeline } from 'node:stream/promises'
import type { RawAgent } from './raw-agent.js'

/** The name of the port in the guest, and of its socket in QEMU's folder. */
const name = 'bench.0'
export const portSocket = 'bench.sock'

/** QEMU's arguments for the port. */
export const portArguments = [
  ...['-chardev', `socket,id=bench,path=${portSocket},server=on,wait=off`],
  ...['-device', JSON.stringify({ driver: 'virtserialport', chardev: 'bench', name })],
]

export class RawPort {
  readonly #agent: RawAgent
  readonly #socket: string
  readonly device: string

  private constructor(agent: RawAgent, socket: string, device: string) {
    this.#agent = agent
    this.#socket = socket
    this.device = device
  }

  static async open(agent: RawAgent, socket: string): Promise<RawPort> {
    const script = `cd /sys/class/virtio-ports; for port in *; do [ "$(cat $port/name)" = ${name} ] && echo $port; done; true`
    const port = (await agent.run('/bin/sh', '-c', script)).toString().trim()
    return new RawPort(agent, socket, `/dev/${port}`)
  }

  /** Copies a file of this length into the guest. */
  async copyIn(from: string, to: string, length: number): Promise<void> {
    const socket = createConnection(this.#socket)
    await once(socket, 'connect')
    const end = await this.#agent.start('/bin/sh', '-c', `head -c ${length} <${this.device} >${to}`)
    await pipeline(createReadStream(from, { highWaterMark: 1 << 18 }), socket, { end: false })
    await end()
    await new Promise((resolve) => socket.once('close', resolve).destroy())
  }

  /** Copies a file of this length out of the guest. */
  async copyOut(from: string, to: string, length: number): Promise<void> {
    const socket = createConnection(this.#socket)
    await once(socket, 'connect')
    const end = await this.#agent.start('/bin/sh', '-c', `cat ${from} >${this.device}`)
    let left = length
    await pipeline(async function* () {
      for await (const chunk of socket as AsyncIterable<Buffer>) {
        yield chunk
        left -= chunk.length
        if (left <= 0) return
      }
    }, createWriteStream(to))
    await end()
  }

  /** Waits for the next byte that the guest writes. */
  async nextByte(): Promise<() => Promise<void>> {
    const socket = createConnection(this.#socket)
    await once(socket, 'connect')
    const byte = once(socket, 'data')
    return async () => {
      await byte
      await new Promise((resolve) => socket.once('close', resolve).destroy())
    }
  }
}
