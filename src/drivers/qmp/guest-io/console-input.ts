import type { Socket } from 'node:net'
import { runFiles } from '../run-files.js'
import { QmpConnectionError } from '../protocol/qmp-errors.js'
import { connectSocket } from '../process/socket.js'

/** A guest that takes no input, such as a paused one, lets those who type wait in line. */
const turnTimeoutMs = 24 * 60 * 60 * 1000

/** Types into VMs: QEMU takes one at a time, and the end of the connection is what shows that all has been taken. */
export class ConsoleInput {
  readonly #last = new Map<string, Promise<void>>()
  readonly #open = new Set<Socket>()
  #isClosed = false

  /** Resolves once QEMU has taken the bytes. What is typed into a VM that goes is lost with it. */
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
        // It is closed next: the VM is gone.
      })
      socket.once('close', () => {
        resolve()
      })
      // What the guest prints meanwhile comes this way too; everybody reads it from the log.
      socket.resume()
      socket.end(bytes)
    })
    this.#open.delete(socket)
  }
}
