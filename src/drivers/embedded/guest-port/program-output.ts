import type { ProgramIo } from '../../../driver/program-io.js'
import { ProtocolError } from '../../../errors.js'

type Stream = 'stdout' | 'stderr'

/** How much of each output the guest program may send ahead of the reader. */
export const outputWindow = 0x1_0000
/** The guest program is told of room for more once so much was taken. */
const grantedAtOnce = outputWindow / 4

interface Receiver {
  /** Takes the output; what follows waits for its promise. */
  readonly deliver: ProgramIo['output']
  /** Lets the guest program send more. */
  grant(stream: Stream, bytes: number): void
  /** The output can't be taken. */
  fail(error: unknown): void
}

/** The output of a program in a guest: no more of it than was granted, taken in order. */
export class ProgramOutput {
  readonly #receiver: Receiver
  readonly #credit = { stdout: outputWindow, stderr: outputWindow }
  readonly #taken = { stdout: 0, stderr: 0 }
  #delivery: Promise<void> | undefined
  #isUnwanted = false

  constructor(receiver: Receiver) {
    this.#receiver = receiver
  }

  /** @throws ProtocolError if the guest program was not granted so much */
  receive(stream: Stream, bytes: Uint8Array): void {
    this.#credit[stream] -= bytes.length
    if (this.#credit[stream] < 0) {
      throw new ProtocolError({ reason: 'the program in the guest sends more output than it was granted' })
    }
    if (this.#delivery !== undefined) {
      this.#after(
        // It was granted when all output was dropped.
        this.#delivery.then(() => (this.#isUnwanted ? undefined : this.#deliver(stream, bytes))),
      )
      return
    }
    const delivery = this.#deliver(stream, bytes)
    if (delivery !== undefined) this.#after(delivery)
  }

  /** Output is read and dropped from now on, and nothing waits for the reader any more. */
  drop(): void {
    if (this.#isUnwanted) return
    this.#isUnwanted = true
    this.#delivery = undefined
    for (const stream of ['stdout', 'stderr'] as const) {
      const held = outputWindow - this.#credit[stream] - this.#taken[stream]
      this.#grant(stream, held)
    }
  }

  /** Settles once all that has come was taken. */
  async taken(): Promise<void> {
    while (this.#delivery !== undefined) await this.#delivery
  }

  /** Takes the bytes; a promise only if the reader wants them to be waited for. */
  #deliver(stream: Stream, bytes: Uint8Array): Promise<void> | undefined {
    const taking = this.#isUnwanted ? undefined : this.#receiver.deliver(stream, bytes)
    if (taking !== undefined) {
      return taking.then(() => {
        if (!this.#isUnwanted) this.#grant(stream, bytes.length)
      })
    }
    this.#grant(stream, bytes.length)
    return undefined
  }

  #after(delivery: Promise<void>): void {
    const handled = delivery
      .catch((error: unknown) => {
        this.drop()
        this.#receiver.fail(error)
      })
      .finally(() => {
        if (this.#delivery === handled) this.#delivery = undefined
      })
    this.#delivery = handled
  }

  #grant(stream: Stream, bytes: number): void {
    this.#taken[stream] += bytes
    const granted = this.#taken[stream]
    if (granted < grantedAtOnce) return
    this.#taken[stream] = 0
    this.#credit[stream] += granted
    this.#receiver.grant(stream, granted)
  }
}
