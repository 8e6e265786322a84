import { pieceBytes, writeNewFile } from './agent-file.js'
import type { GuestShell } from './guest-shell.js'

/** The input of a program, which is written to two files in turn that a feeder in the guest reads. */
export class ProgramInput {
  readonly #shell: GuestShell
  readonly #number: string
  /** How many files may be written. */
  #free = 2
  #isClosed = false

  constructor(shell: GuestShell, number: number) {
    this.#shell = shell
    this.#number = String(number)
  }

  /** Notes that the feeder has read a file, or that the program reads no more. */
  note(isClosed: boolean): void {
    this.#free += 1
    if (isClosed) this.#isClosed = true
  }

  /** Ends the passing on. */
  stop(): void {
    this.#isClosed = true
  }

  /** Passes on all that comes. */
  async feed(first: Uint8Array, rest: AsyncIterable<Uint8Array>): Promise<void> {
    let index = 0
    for await (const piece of pieces(first, rest)) {
      while (this.#free === 0 && !this.#isClosed) await this.#shell.tick()
      if (this.#isClosed) return
      this.#free -= 1
      await this.#write(index % 2, piece)
      index += 1
    }
    // The feeder reads the files in their order.
    this.#tell('end')
  }

  async #write(file: number, piece: Uint8Array): Promise<void> {
    const path = this.#shell.file(`${this.#number}.i.${String(file)}`)
    await this.#shell.patient.turn((agent) => writeNewFile(agent, path, piece))
    this.#tell(String(file))
  }

  #tell(word: string): void {
    this.#shell.touch()
    this.#shell.send(`echo ${word} 1<>${this.#number}.j`)
  }
}

async function* pieces(first: Uint8Array, rest: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* cut(first)
  for await (const bytes of rest) yield* cut(bytes)
}

function* cut(bytes: Uint8Array): Generator<Uint8Array> {
  for (let from = 0; from < bytes.byteLength; from += pieceBytes) yield bytes.subarray(from, from + pieceBytes)
}
