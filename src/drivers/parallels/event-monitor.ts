import { inBackground } from '../../background.js'
import { stayConnected } from '../../driver/reconnect.js'
import { MonitorLines, type MonitorEvent } from './monitor-lines.js'
import type { Transport } from './transport.js'
import type { HostProgram } from '../../ssh/host-program.js'

/** Runs `monitor-events`, again and again, until it is closed. */
export class EventMonitor {
  readonly #transport: Transport
  readonly #argv: readonly string[]
  readonly #onEvents: (events: readonly MonitorEvent[]) => void
  readonly #lister: NodeJS.Timeout
  readonly #closing = new AbortController()
  readonly #ended: Promise<void>
  #program: HostProgram | undefined

  constructor(
    transport: Transport,
    argv: readonly string[],
    listeners: { readonly onEvents: (events: readonly MonitorEvent[]) => void; readonly onListing: () => void },
    listEveryMs: number,
  ) {
    this.#transport = transport
    this.#argv = argv
    this.#onEvents = listeners.onEvents
    this.#lister = setInterval(listeners.onListing, listEveryMs)
    this.#ended = stayConnected((works) => this.#run(works), {
      signal: this.#closing.signal,
      onLost: (error) => {
        inBackground('The events of Parallels', () => {
          if (error !== undefined) throw error
        })
      },
    })
  }

  async close(): Promise<void> {
    this.#closing.abort()
    clearInterval(this.#lister)
    this.#program?.kill()
    await this.#ended
  }

  async #run(works: () => void): Promise<void> {
    const program = this.#transport.start(this.#argv, { hasInput: false, isLive: true })
    this.#program = program
    const lines = new MonitorLines()
    program.stdout.setEncoding('utf8').on('data', (text: string) => {
      works()
      const events = lines.push(text)
      if (events.length > 0) this.#onEvents(events)
    })
    // Without events, the regular lists go on.
    program.stderr.resume()
    await program.ended
  }
}
