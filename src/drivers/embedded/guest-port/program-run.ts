import { inBackground } from '../../../background.js'
import { Deferred } from '../../../driver/deferred.js'
import type { ProgramEnd, ProgramIo } from '../../../driver/program-io.js'
import { ProtocolError } from '../../../errors.js'
import type { GuestProgram } from '../../../guest/guest-way.js'
import { type SignalName, signalNumber, signalOf } from '../../../model/signal.js'
import { maxData } from './frames.js'
import { bytesOf, type GuestMessage, toGuest } from './messages.js'
import { ProgramInput } from './program-input.js'
import { outputWindow, ProgramOutput } from './program-output.js'
import { programSpec } from './program-spec.js'
import { startFailure } from './start-failure.js'

/** Sends a message about the program; settles once it was sent. */
type Send = (type: number, data?: Uint8Array) => Promise<void>

const sigkill = 9
const streamNumber = { stdout: 0, stderr: 1 } as const

/** One program that the guest program runs. */
export class ProgramRun {
  readonly #program: GuestProgram
  readonly #io: ProgramIo
  readonly #send: Send
  readonly #output: ProgramOutput
  #input: ProgramInput | undefined
  #kills: ((wasSent: boolean) => void)[] = []
  readonly #end = new Deferred<ProgramEnd>()
  #isOver = false
  /** Why it was told to end. */
  #stop: { readonly reason: unknown } | undefined

  constructor(program: GuestProgram, io: ProgramIo, send: Send) {
    this.#program = program
    this.#io = io
    this.#send = send
    this.#output = new ProgramOutput({
      deliver: io.output,
      grant: (stream, bytes) => {
        this.#tell(toGuest.credit, bytesOf([streamNumber[stream], 1], [bytes, 4]))
      },
      fail: (error) => {
        this.stop(error)
      },
    })
  }

  /**
   * Settles once the program has ended and its output was taken. Rejects if it did not run, was ended by `stop`, or if nobody knows.
   */
  get ended(): Promise<ProgramEnd> {
    return this.#end.promise
  }

  /** Asks for the program. */
  start(): void {
    const spec = programSpec(this.#program, this.#io.input !== undefined)
    for (let at = 0; at < spec.length; at += maxData) this.#tell(toGuest.spec, spec.subarray(at, at + maxData))
    for (const stream of [0, 1]) this.#tell(toGuest.credit, bytesOf([stream, 1], [outputWindow, 4]))
  }

  /** Ends the program and all that it started; then `ended` rejects with the reason. */
  stop(reason: unknown): void {
    if (this.#stop !== undefined || this.#isOver) return
    this.#stop = { reason }
    this.#output.drop()
    this.#tell(toGuest.end)
  }

  /** Gives the program up: nobody can tell any more what becomes of it. */
  lose(error: unknown): void {
    this.#finish()
    this.#end.reject(error)
  }

  /** @throws ProtocolError for a message that makes no sense */
  receive(message: GuestMessage): void {
    switch (message.type) {
      case 'started':
        this.#begin()
        return
      case 'failed':
        this.#finish()
        this.#end.reject(startFailure(this.#program, message))
        return
      case 'output':
        this.#output.receive(message.stream, message.bytes)
        return
      case 'credit':
        this.#input?.addRoom(message.bytes)
        return
      case 'signalled':
        this.#kills.shift()?.(message.wasSent)
        return
      case 'ended':
        inBackground('The end of a program in a guest', () => this.#finishWith(message))
        return
      default:
        throw new ProtocolError({ reason: `the program in the guest says "${message.type}" of a program that runs` })
    }
  }

  #begin(): void {
    const { pty } = this.#program
    this.#io.begun({
      kill: (signal) => this.#kill(signal),
      ...(pty !== undefined && {
        resize: ({ columns, rows }) => this.#send(toGuest.resize, bytesOf([columns, 2], [rows, 2])),
      }),
    })
    const { input } = this.#io
    if (input === undefined) {
      if (pty !== undefined) this.#tell(toGuest.inputEnd)
      return
    }
    this.#input = new ProgramInput(input, (bytes) => this.#send(toGuest.input, bytes))
    this.#input.give().then(
      () => {
        this.#tell(toGuest.inputEnd)
      },
      (error: unknown) => {
        this.stop(error)
      },
    )
  }

  #kill(signal: SignalName): Promise<boolean> {
    if (this.#isOver) return Promise.resolve(false)
    return new Promise<boolean>((resolve) => {
      this.#kills.push(resolve)
      this.#tell(toGuest.signal, bytesOf([signalNumber(signal), 1]))
    })
  }

  async #finishWith({ code, signal }: Extract<GuestMessage, { type: 'ended' }>): Promise<void> {
    this.#finish()
    await this.#output.taken()
    // One that ended by itself before it could be stopped has its outcome.
    if (this.#stop !== undefined && signal === sigkill) this.#end.reject(this.#stop.reason)
    else this.#end.resolve(programEnd(code, signal))
  }

  #finish(): void {
    this.#isOver = true
    this.#input?.close()
    for (const told of this.#kills) told(false)
    this.#kills = []
  }

  #tell(type: number, data?: Uint8Array): void {
    if (!this.#isOver) void this.#send(type, data)
  }
}

const programEnd = (code: number, signal: number): ProgramEnd => {
  if (signal === 0) return { exitCode: code }
  const name = signalOf(signal)
  return name === undefined ? { exitCode: 128 + signal } : { signal: name }
}
