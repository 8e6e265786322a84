import type { ProgramControl, ProgramIo } from '../../driver/program-io.js'
import type { SimulatedStdin } from './simulated-stdin.js'

/** A piece of output. */
export interface Piece {
  readonly stream: 'stdout' | 'stderr'
  readonly bytes: Uint8Array
}

/** One of those who follow a simulated program: the connection that runs it, or one that has attached to it. */
export class ProgramUser {
  readonly #io: ProgramIo
  readonly #input: AsyncIterator<Uint8Array> | undefined
  #taken: Promise<void> = Promise.resolve()
  #hasLeft = false

  constructor(io: ProgramIo) {
    this.#io = io
    this.#input = io.input?.[Symbol.asyncIterator]()
  }

  /** Settles once it has taken all output so far. */
  get taken(): Promise<void> {
    return this.#taken
  }

  begin(control: ProgramControl): void {
    this.#io.begun(control)
  }

  put({ stream, bytes }: Piece): Promise<void> {
    this.#taken = this.#taken.then(() => (this.#hasLeft ? undefined : this.#io.output(stream, bytes)))
    return this.#taken
  }

  /** Passes its input to the program. */
  async feed(stdin: SimulatedStdin, fail: (error: unknown) => void): Promise<void> {
    const input = this.#input
    if (input === undefined) return
    try {
      for (;;) {
        const next = await input.next()
        if (this.#hasLeft) return
        if (next.done === true) {
          stdin.end()
          return
        }
        if (!(await stdin.put(next.value))) {
          this.leaveInput()
          return
        }
      }
    } catch (error) {
      fail(error)
    }
  }

  /** The program reads nothing any more. */
  leaveInput(): void {
    void this.#input?.return?.()
  }

  leave(): void {
    this.#hasLeft = true
    this.leaveInput()
  }
}
