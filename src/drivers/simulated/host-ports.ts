import type { KeptAdapter } from '../../network/kept-adapter.js'

/** The range that systems take ports from where none is asked for (RFC 6335). */
const first = 49_152
const last = 65_535

/** Ports of the host, each given once until all have been. Nothing listens there. */
export class HostPorts {
  #next = first

  /** The adapters, with a port for each forward that has none. */
  findFor(adapters: readonly KeptAdapter[]): readonly KeptAdapter[] {
    if (adapters.length === 0) return adapters
    return adapters.map((adapter) => ({
      ...adapter,
      portForwards: adapter.portForwards.map((forward) =>
        forward.hostPort === undefined && forward.foundHostPort === undefined
          ? { ...forward, foundHostPort: this.#take() }
          : forward,
      ),
    }))
  }

  #take(): number {
    const port = this.#next
    this.#next = port === last ? first : port + 1
    return port
  }
}
