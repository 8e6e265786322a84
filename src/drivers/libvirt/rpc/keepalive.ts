import { ProtocolError } from '../../../errors.js'
import { FrameStatus, FrameType, type Frame, type FrameHeader } from './frame.js'

/** `"keep"` */
export const keepaliveProgram = 0x6b65_6570

const ping = 1
const pong = 2

/** Times in milliseconds. */
export interface KeepaliveTimes {
  /** Between two looks at whether libvirt still speaks; libvirt's own default. */
  readonly everyMs: number
  /** Longest silence of a daemon that has room for a question; libvirt's own default. */
  readonly patienceMs: number
  /** Longest silence of one that may be at work on as many calls as it takes. A change of a domain may wait 30 seconds for its turn. */
  readonly busyPatienceMs: number
}

const usual: KeepaliveTimes = { everyMs: 5000, patienceMs: 30_000, busyPatienceMs: 120_000 }

/** `max_client_requests`: with so many messages at work, a daemon does not read what it is sent. The data of a stream count, too. */
const callsAtOnce = 5

interface Peer {
  readonly send: (frame: FrameHeader) => void
  readonly calls: () => number
  readonly streams: () => number
  readonly lose: (reason: string) => void
}

/** Answers libvirt's questions whether this process is there, and asks in turn when nothing was heard for a while. */
export class Keepalive {
  readonly #peer: Peer
  readonly #times: KeepaliveTimes
  #heardAt = performance.now()
  #timer: NodeJS.Timeout | undefined

  constructor(peer: Peer, times: KeepaliveTimes = usual) {
    this.#peer = peer
    this.#times = times
  }

  start(): void {
    this.#heardAt = performance.now()
    this.#timer ??= setInterval(() => {
      this.#look()
    }, this.#times.everyMs)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Something arrived. */
  heard(): void {
    this.#heardAt = performance.now()
  }

  take({ procedure }: Frame): void {
    if (procedure === ping) this.#send(pong)
    else if (procedure !== pong) throw new ProtocolError({ reason: 'libvirt sent an unknown keepalive message' })
  }

  #look(): void {
    const { everyMs, patienceMs, busyPatienceMs } = this.#times
    const silentMs = performance.now() - this.#heardAt
    const mayBeFull = this.#peer.streams() > 0 || this.#peer.calls() >= callsAtOnce
    const longestMs = mayBeFull ? busyPatienceMs : patienceMs
    if (silentMs > longestMs) this.#peer.lose(`it has not answered for ${String(Math.round(silentMs / 1000))} s`)
    else if (silentMs > everyMs / 2) this.#send(ping)
  }

  #send(procedure: number): void {
    const { message } = FrameType
    this.#peer.send({ program: keepaliveProgram, procedure, type: message, serial: 0, status: FrameStatus.ok })
  }
}
