import type { Socket } from 'node:net'
import { runFiles } from '../run-files.js'
import { QmpConnectionError } from '../protocol/qmp-errors.js'
import { connectSocket } from '../process/socket.js'

/** Longest wait in line: a guest that reads no input, such as a paused one, blocks the line. */
const turnTimeoutMs = 24 * 60 * 60 * 1000

/** Sends input to serial consoles. QEMU serves one connection at a time, and closes it once it has read everything. */
export class ConsoleInput {
  readonly #last = new Map<string, Promise<void>>()
  readonly #open = new Set<Socket>()
  #isClosed = false

  /** Resolves when QEMU has read the bytes. Input for a VM that ends is lost. */
  send(folder: string, bytes: Uint8Array): Promise<void> {
    const before = this.#last.get(folder) ?? Promise.resolve()
    const sending = before.then(() => this.#send(folder, bytes))
    const settled = sending.catch(() => undefined)
    this.#last.set(folder, settled)
    void settled.then(() => {
      if (this.#last.get(folder) === settled) this.#last.delete(folder)
    })
    return sending
  }

  close(): void {
    this.#isClosed = true
    for (const socket of this.#open) socket.destroy()
  }

  async #send(folder: string, bytes: Uint8Array): Promise<void> {
    if (this.#isClosed) return
    let socket: Socket
    try {
      socket = await connectSocket(folder, runFiles.serial, turnTimeoutMs)
    } catch (error) {
      if (error instanceof QmpConnectionError) return
      throw error
    }
    this.#open.add(socket)
    await new Promise<void>((resolve) => {
      socket.on('error', () => {
        // The VM is gone; the event 'close' follows.
      })
      socket.once('close', () => {
        resolve()
      })
      // The guest's output also comes this way; it is read from the log instead.
      socket.resume()
      socket.end(bytes)
    })
    this.#open.delete(socket)
  }
}
