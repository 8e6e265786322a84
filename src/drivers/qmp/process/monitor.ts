import { QmpClient } from '../protocol/qmp-client.js'
import { connectSocket } from './socket.js'

/** Long enough for another client to finish with the monitor. */
const greetingTimeoutMs = 10_000

/** Connects to one of a VM's monitors. QEMU serves one client of a monitor at a time. */
export async function openMonitor(folder: string, socket: string, timeoutMs = greetingTimeoutMs): Promise<QmpClient> {
  return QmpClient.open(await connectSocket(folder, socket, timeoutMs), { greetingTimeoutMs: timeoutMs })
}

/** A connection that concurrent users share, and that the last one closes. */
export class SharedMonitor {
  readonly #open: () => Promise<QmpClient>
  #client: Promise<QmpClient> | undefined
  #users = 0

  constructor(open: () => Promise<QmpClient>) {
    this.#open = open
  }

  async use<T>(action: (client: QmpClient) => Promise<T>): Promise<T> {
    const opening = (this.#client ??= this.#open())
    this.#users += 1
    try {
      return await action(await opening)
    } finally {
      this.#users -= 1
      if (this.#users === 0) {
        this.#client = undefined
        const client = await opening.catch(() => undefined)
        await client?.close()
      }
    }
  }
}
