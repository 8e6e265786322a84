import type { KeptAdapter } from '../../network/kept-adapter.js'

/** The range of dynamic ports (RFC 6335). */
const first = 49_152
const last = 65_535

/** Allocates ports of the host in turn. Nothing listens there. */
export class HostPorts {
  #next = first

  /** The adapters, with a port for each forward without one. */
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
