import type { ProgramIo } from '../driver/program-io.js'
import { TailedFile } from './agent-file.js'
import type { GuestShell } from './guest-shell.js'
import { pauseAfter } from './log-polls.js'
import { UntilMark } from './until-mark.js'

/** The outputs of a program, by their letters in the shell's files. */
const streams = { o: 'stdout', e: 'stderr' } as const

/** One output of a program, which is read from files that relays in the guest write in turn. */
export class ProgramOutput {
  readonly #shell: GuestShell
  readonly #stream: 'o' | 'e'
  readonly #number: number
  readonly #output: ProgramIo['output']
  readonly #untilMark: UntilMark
  /** How many files the relay has begun. */
  #begun = 0
  #activeAt = performance.now()
  #hasEnded = false
  #isStopped = false

  constructor(shell: GuestShell, number: number, stream: 'o' | 'e', output: ProgramIo['output']) {
    this.#shell = shell
    this.#number = number
    this.#stream = stream
    this.#output = output
    this.#untilMark = new UntilMark(shell.mark)
  }

  /** Notes that the relay writes to the next file. */
  noteFile(): void {
    this.#begun += 1
  }

  /** Notes that the program has ended: what is left of its output is there, or comes soon. */
  noteEnd(): void {
    this.#hasEnded = true
  }

  /** Ends the reading. */
  stop(): void {
    this.#isStopped = true
  }

  /** Passes on what relays write, until the mark. */
  async follow(): Promise<void> {
    for (let index = 0; ; index += 1) {
      while (this.#begun <= index && this.#isWanted()) await this.#shell.tick()
      if (!this.#isWanted() || (await this.#readFile(index))) return
      // Lets the relay write to this file once more.
      this.#shell.send(`echo 1<>${this.#name}.${this.#stream === 'o' ? 'p' : 'q'}`)
    }
  }

  /** Passes on what the shell has kept of an output that no relay has taken. */
  async readKept(): Promise<void> {
    await this.#withFile(0, async (file) => {
      for (;;) {
        const bytes = await file.read()
        if (bytes.byteLength === 0 || (await this.#pass(bytes))) break
      }
    })
    const bytes = this.#untilMark.end()
    if (bytes.byteLength > 0) await this.#output(streams[this.#stream], bytes)
  }

  /** Reads one file of the relay; true if the output has ended in it. */
  #readFile(index: number): Promise<boolean> {
    return this.#withFile(index, async (file) => {
      while (this.#isWanted()) {
        // A file is complete once the next one is begun.
        const isComplete = this.#begun > index + 1
        const bytes = await file.read()
        if (bytes.byteLength > 0) {
          this.#shell.touch()
          this.#activeAt = performance.now()
          if (await this.#pass(bytes)) return true
        } else if (isComplete) return false
        else await this.#pause()
      }
      return true
    })
  }

  /** One output is read less often than the other if less comes from it. */
  async #pause(): Promise<void> {
    const begun = this.#begun
    const until = performance.now() + pauseAfter(this.#activeAt)
    do await this.#shell.tick()
    while (performance.now() < until && this.#begun === begun && !this.#hasEnded && this.#isWanted())
  }

  async #withFile<T>(index: number, action: (file: TailedFile) => Promise<T>): Promise<T> {
    const path = this.#shell.file(`${this.#name}.${this.#stream}.${String(index % 2)}`)
    const file = await TailedFile.open(this.#shell.patient, path)
    try {
      return await action(file)
    } finally {
      await file.close()
    }
  }

  /** Passes bytes on; true if the mark has come. */
  async #pass(piece: Buffer): Promise<boolean> {
    const { bytes, isLast } = this.#untilMark.push(piece)
    if (bytes.byteLength > 0) await this.#output(streams[this.#stream], bytes)
    return isLast
  }

  #isWanted(): boolean {
    return !this.#isStopped
  }

  get #name(): string {
    return String(this.#number)
  }
}
