import { Duplex } from 'node:stream'
import { ConnectionError } from '../../../../errors.js'
import type { Ending, HostProgram } from '../../../../ssh/host-program.js'

/** Characters of a program's complaints that an error keeps. */
const maxWords = 2000

/** The standard input and output of a program, as a socket. */
export class ProgramSocket extends Duplex {
  readonly #program: HostProgram
  #complaint = ''

  /** @param name of the program, for errors */
  constructor(program: HostProgram, name: string) {
    super({ allowHalfOpen: false })
    this.#program = program
    program.stderr.on('data', (piece: Buffer) => {
      this.#complaint = `${this.#complaint}${piece.toString()}`.slice(-maxWords)
    })
    program.stdout.on('data', (piece: Buffer) => {
      if (!this.push(piece)) program.stdout.pause()
    })
    // The end of the program tells what went wrong.
    for (const stream of [program.stdin, program.stdout, program.stderr]) stream.on('error', () => undefined)
    void program.ended.then((ending) => {
      this.destroy(this.destroyed ? undefined : this.#endError(name, ending))
    })
  }

  override _read(): void {
    this.#program.stdout.resume()
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, written: (error?: Error | null) => void): void {
    this.#program.stdin.write(bytes, written)
  }

  override _final(finished: () => void): void {
    this.#program.stdin.end(finished)
  }

  /** The program is gone when the socket is closed. */
  override _destroy(error: Error | null, destroyed: (error?: Error | null) => void): void {
    this.#program.kill()
    void this.#program.ended.then(() => {
      destroyed(error)
    })
  }

  #endError(name: string, ending: Ending): ConnectionError {
    const said = this.#complaint.trim()
    const how =
      ending.kind === 'not-begun'
        ? ending.error.message
        : ending.kind === 'lost'
          ? ending.reason
          : ending.kind === 'exit'
            ? `it ended with the exit code ${String(ending.code)}`
            : `it was ended by ${ending.signal}`
    const reason = `${name}: ${said === '' ? how : said}`
    return new ConnectionError({ reason, native: { driver: 'libvirt', message: reason } })
  }
}
