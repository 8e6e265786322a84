import { inBackground } from '../../background.js'
import { MonitorLines, type MonitorEvent } from './monitor-lines.js'
import type { HostProgram, Transport } from './transport.js'

/** From the end of the program to its being started again; twice as long each time, up to a limit. */
const firstDelayMs = 1000
const maxDelayMs = 60_000

/** Runs `monitor-events` for as long as it is open. */
export class EventMonitor {
  readonly #transport: Transport
  readonly #argv: readonly string[]
  readonly #onEvents: (events: readonly MonitorEvent[]) => void
  readonly #lister: NodeJS.Timeout
  #program: HostProgram | undefined
  #restart: NodeJS.Timeout | undefined
  #delayMs = firstDelayMs
  #isClosed = false

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
    this.#start()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#lister)
    clearTimeout(this.#restart)
    this.#program?.kill()
    await this.#program?.ended
  }

  #start(): void {
    inBackground('The events of Parallels', () =>
      this.#run().finally(() => {
        if (this.#isClosed) return
        this.#restart = setTimeout(() => {
          this.#start()
        }, this.#delayMs)
        this.#delayMs = Math.min(2 * this.#delayMs, maxDelayMs)
      }),
    )
  }

  async #run(): Promise<void> {
    const program = this.#transport.start(this.#argv, { hasInput: false, isLive: true })
    this.#program = program
    const lines = new MonitorLines()
    program.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#delayMs = firstDelayMs
      const events = lines.push(text)
      if (events.length > 0) this.#onEvents(events)
    })
    // What it complains of is of no use to anybody: the listing goes on.
    program.stderr.resume()
    await program.ended
  }
}
