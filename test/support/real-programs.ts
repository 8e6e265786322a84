import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ProgramControl, ProgramIo } from 'awaitvm/driver'
import type { SimulatedExecResult, SimulatedOutput, SimulatedProgram } from 'awaitvm/testing'
import { MachineWay } from './machine-way.js'

/** Runs the programs of a simulated guest on this machine. */
export class RealPrograms {
  readonly #folder = mkdtemp(join(tmpdir(), 'awaitvm-memory-'))
  readonly #running = new Set<Promise<unknown>>()
  readonly #dying = new Set<Promise<unknown>>()

  /** To be returned to the simulated host. */
  async *run(program: SimulatedProgram): AsyncGenerator<SimulatedOutput, SimulatedExecResult> {
    const { argv, options, stdin, signal } = program
    // A program that is asked for later must really have ended.
    await Promise.all(this.#dying)
    const output = new Pieces()
    let begun = (_control: ProgramControl): void => undefined
    const control = new Promise<ProgramControl>((resolve) => {
      begun = resolve
    })
    // From the first moment: output may come before the shell has told which process it is.
    program.onSignal((name) => void control.then(({ kill }) => kill(name)))
    const io: ProgramIo = { input: stdin, output: (stream, bytes) => output.put({ [stream]: bytes }), begun }
    const way = new MachineWay(program.vm, await this.#folder)
    const ended = way.run({ ...options, argv }, io, signal)
    const gone = ended.catch(() => undefined).finally(() => output.end())
    this.#running.add(gone)
    const stop = (): void => {
      this.#dying.add(gone)
    }
    signal.addEventListener('abort', stop)
    void gone.then(() => {
      signal.removeEventListener('abort', stop)
      this.#running.delete(gone)
      this.#dying.delete(gone)
    })
    yield* output
    return await ended
  }

  /** Waits until all have ended, and removes what they have left in memory. */
  async ended(): Promise<void> {
    await Promise.all(this.#running)
    await rm(await this.#folder, { recursive: true })
  }
}

/** Passes on pieces; each is put once the one before was taken. */
class Pieces implements AsyncIterable<SimulatedOutput> {
  readonly #waiting: { readonly piece: SimulatedOutput; readonly taken: () => void }[] = []
  #hasEnded = false
  #wake: (() => void) | undefined

  put(piece: SimulatedOutput): Promise<void> {
    return new Promise((taken) => {
      this.#waiting.push({ piece, taken })
      this.#wake?.()
    })
  }

  end(): void {
    this.#hasEnded = true
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<SimulatedOutput, void, undefined> {
    for (;;) {
      const next = this.#waiting.shift()
      if (next !== undefined) {
        yield next.piece
        next.taken()
      } else if (this.#hasEnded) return
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    }
  }
}
