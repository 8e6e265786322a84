import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import type { ProgramControl, ProgramEnd, ProgramIo } from 'awaitvm/driver'
import { JobCancelledError, NotSupportedError } from '../../src/errors.js'
import type { GuestProgram, GuestWay } from '../../src/guest/guest-way.js'
import {
  type BegunProgram,
  ReportedOutput,
  reportedProgram,
  type ReportedProgram,
} from '../../src/guest/reported-program.js'
import { signalScript, stopScript } from '../../src/guest/stop-scripts.js'
import { wrappedProgram } from '../../src/guest/wrapped-program.js'
import { signalNames } from '../../src/model/signal.js'

/** A way into a guest that is this machine. */
export class MachineWay implements GuestWay {
  readonly vm: string
  readonly driver = 'machine'

  readonly #folder: string

  /** @param folder what is lost with the guest: its `XDG_RUNTIME_DIR` */
  constructor(vm: string, folder: string) {
    this.vm = vm
    this.#folder = folder
  }

  async run(program: GuestProgram, io: ProgramIo, signal: AbortSignal): Promise<ProgramEnd> {
    if (program.pty !== undefined)
      throw new NotSupportedError({ capability: 'options.pty', reason: 'this machine has no terminal' })
    signal.throwIfAborted()
    const wrapped = wrappedProgram(program, io, this.driver)
    const reported = reportedProgram(wrapped.argv)
    const [name = '', ...args] = reported.argv
    const child = spawn(name, args, { stdio: 'pipe', env: { ...process.env, XDG_RUNTIME_DIR: this.#folder } })
    const running = new RunningProgram(child, reported, wrapped.io)
    const stop = (): void => {
      running.stop()
    }
    signal.addEventListener('abort', stop)
    try {
      const end = await running.end()
      if (signal.aborted) throw new JobCancelledError({ reason: 'the program was ended', cause: signal.reason })
      wrapped.requireBegun(end)
      return end
    } finally {
      signal.removeEventListener('abort', stop)
      child.stdout.destroy()
      child.stderr.destroy()
    }
  }
}

class RunningProgram {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #program: ReportedProgram
  readonly #io: ProgramIo
  #begun: BegunProgram | undefined
  #stopping: (() => void) | undefined
  readonly #stopped: Promise<void>
  #failure: { readonly error: unknown } | undefined

  constructor(child: ChildProcessWithoutNullStreams, program: ReportedProgram, io: ProgramIo) {
    this.#child = child
    this.#program = program
    this.#io = io
    this.#stopped = new Promise((resolve) => {
      this.#stopping = resolve
    })
  }

  async end(): Promise<ProgramEnd> {
    const ended = Promise.all([this.#read('stdout'), this.#read('stderr'), once(this.#child, 'exit')])
    const [[end]] = await Promise.all([ended, this.#feed(ended)])
    if (this.#failure !== undefined) throw this.#failure.error
    if (end === undefined) return { exitCode: 126 }
    const name = signalNames.find((known) => known === `SIG${end.signal}`)
    return name === undefined ? { exitCode: end.code } : { signal: name }
  }

  /** Ends the program and all that it started. What it still writes is dropped. */
  stop(): void {
    this.#stopping?.()
    this.#stopping = undefined
    void this.script(stopScript)
  }

  /** Runs a script that signals the program; answers its exit code. */
  async script(script: string, ...args: readonly string[]): Promise<number> {
    if (this.#begun === undefined) return 3
    const { pid, parent } = this.#begun
    const { mark, id } = this.#program
    const words = ['-c', script, 'sh', mark, id, String(pid), String(parent), ...args]
    const [code] = (await once(spawn('sh', words, { stdio: 'ignore' }), 'exit')) as [number]
    return code
  }

  async #read(stream: 'stdout' | 'stderr'): Promise<ReportedOutput['end']> {
    const output = new ReportedOutput(this.#program)
    for await (const piece of this.#child[stream] as AsyncIterable<Buffer>) {
      for (const { bytes, isOwn } of output.take(piece)) {
        this.#begin(output)
        if (isOwn) await Promise.race([this.#io.output(stream, bytes), this.#stopped])
      }
      this.#begin(output)
      if (output.end !== undefined) break
    }
    return output.end
  }

  #begin({ begun }: ReportedOutput): void {
    if (begun === undefined || this.#begun !== undefined) return
    this.#begun = begun
    const control: ProgramControl = {
      kill: async (signal) => (await this.script(signalScript, signal.slice(3))) === 0,
    }
    this.#io.begun(control)
    if (this.#stopping === undefined) void this.script(stopScript)
  }

  async #feed(ended: Promise<unknown>): Promise<void> {
    const { stdin } = this.#child
    // A program need not read its input.
    stdin.on('error', () => undefined)
    const input = this.#io.input?.[Symbol.asyncIterator]()
    const end = ended.then(() => undefined)
    try {
      for (;;) {
        const next = await Promise.race([input?.next(), end])
        if (next === undefined || next.done === true) break
        if (!stdin.write(next.value)) await Promise.race([once(stdin, 'drain').catch(() => undefined), end])
      }
    } catch (error) {
      this.#failure = { error }
      this.stop()
    }
    stdin.end()
    await end
    // It may wait for a source that never ends.
    void input?.return?.()
  }
}
