import { encodeFrame, type Frame, frameBytes } from './frames.js'

/**
 * How many bytes the guest program may leave unread. The guest's kernel keeps 64 KiB (TTYB_DEFAULT_MEM_LIMIT of its tty_buffer.c) and
 * drops what is more.
 */
const windowBytes = 0x8000

interface Waiting {
  readonly frame: Frame
  readonly sent: () => void
}

/** Sends messages in order, no more of them than the guest program has room for. */
export class LineSender {
  readonly #write: (bytes: Uint8Array) => void
  #waiting: Waiting[] = []
  #sent = 0
  #read = 0
  #isOpen = false

  constructor(write: (bytes: Uint8Array) => void) {
    this.#write = write
  }

  /** Begins a session, in which nothing was sent yet. */
  open(): void {
    this.#isOpen = true
    this.#sent = 0
    this.#read = 0
    this.#send()
  }

  /** Drops what is waiting: there is no session any more. */
  close(): void {
    this.#isOpen = false
    const dropped = this.#waiting
    this.#waiting = []
    for (const { sent } of dropped) sent()
  }

  /** Settles once the message was sent, or dropped with the session. */
  async send(frame: Frame): Promise<void> {
    await new Promise<void>((sent) => {
      this.#waiting.push({ frame, sent })
      this.#send()
    })
  }

  /** The guest program has read so many bytes in this session, modulo 2^32. `false` if it can't have. */
  noteRead(bytes: number): boolean {
    const isPossible = (this.#sent - bytes) >>> 0 <= windowBytes && (bytes - this.#read) >>> 0 <= windowBytes
    if (!isPossible) return false
    this.#read = bytes
    this.#send()
    return true
  }

  #send(): void {
    while (this.#isOpen) {
      const next = this.#waiting[0]
      if (next === undefined) return
      const sent = (this.#sent + frameBytes(next.frame.data)) >>> 0
      if ((sent - this.#read) >>> 0 > windowBytes) return
      this.#sent = sent
      this.#waiting.shift()
      this.#write(encodeFrame(next.frame))
      next.sent()
    }
  }
}
