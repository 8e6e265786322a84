import { inBackground } from '../../../background.js'
import { ProtocolError } from '../../../errors.js'
import { maxData } from './frames.js'

/** What the guest program keeps of the input of a program (`input_room` of guest-program/guest.h). */
const inputRoom = 0x4000

/** The input of a program in a guest: no more of it than there is room for. */
export class ProgramInput {
  readonly #iterator: AsyncIterator<Uint8Array>
  readonly #send: (bytes: Uint8Array) => Promise<void>
  #room = inputRoom
  #onRoom: () => void = () => undefined
  #isClosed = false

  constructor(input: AsyncIterable<Uint8Array>, send: (bytes: Uint8Array) => Promise<void>) {
    this.#iterator = input[Symbol.asyncIterator]()
    this.#send = send
  }

  /** Sends all of it. Rejects with the error of the input. */
  async give(): Promise<void> {
    for (;;) {
      const next = await this.#iterator.next()
      if (next.done === true || this.#isClosed) return
      for (let at = 0; at < next.value.length;) at += await this.#giveSome(next.value.subarray(at))
    }
  }

  /** @throws ProtocolError if there can't be so much room */
  addRoom(bytes: number): void {
    this.#room += bytes
    if (this.#room > inputRoom) {
      throw new ProtocolError({ reason: 'the program in the guest has read more input than it was given' })
    }
    this.#onRoom()
  }

  /** The program has ended, and reads no more. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#onRoom()
    inBackground('Ending the input of a program in a guest', async () => {
      await this.#iterator.return?.()
    })
  }

  async #giveSome(bytes: Uint8Array): Promise<number> {
    while (this.#room === 0 && !this.#isClosed) {
      await new Promise<void>((resolve) => {
        this.#onRoom = resolve
      })
    }
    if (this.#isClosed) return bytes.length
    const count = Math.min(bytes.length, this.#room, maxData)
    this.#room -= count
    await this.#send(bytes.subarray(0, count))
    return count
  }
}
