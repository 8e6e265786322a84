import { randomInt } from 'node:crypto'
import type { ProgramEnd, ProgramIo } from '../../../driver/program-io.js'
import { GuestUnavailableError, ProtocolError } from '../../../errors.js'
import { programEndUnknown } from '../../../errors/program-end.js'
import type { GuestProgram } from '../../../guest/guest-way.js'
import { encodeFrame, type Frame, FrameReader } from './frames.js'
import { LineSender } from './line-sender.js'
import { bytesOf, type GuestMessage, parseGuestMessage, toGuest } from './messages.js'
import { ProgramRun } from './program-run.js'

/** The version of the protocol, as guest-program/line.c has it. */
const version = 1
/** Says to the guest program that the port of the emulator is never busy. */
const takesAllAtOnce = 1
/** How long the guest program may take to answer. It takes milliseconds unless the machine is very busy. */
const answerTimeoutMs = 3000
/** How often an answer is asked for again. */
const askEveryMs = 250
/** How long the guest may say nothing while programs run: it is asked as often as above. */
const silenceTimeoutMs = 30_000
const checkEveryMs = 2000

/** The machine at this end of the port. */
export interface PortMachine {
  /** Sends bytes to the port; settles once the guest has taken them. */
  send(bytes: Uint8Array): Promise<void>
  /** Whether the guest runs, and so can answer. */
  isRunning(): boolean
}

/** The guest program, reached through a serial port: runs programs in the guest. */
export class GuestPort {
  readonly #machine: PortMachine
  readonly #reader = new FrameReader()
  readonly #sender: LineSender
  readonly #runs = new Map<number, ProgramRun>()
  /** A session that the guest has not answered keeps its number, since the guest may read it late. */
  #session = newSession()
  #isOpen = false
  #opening: Promise<void> | undefined
  #answered: () => void = () => undefined
  #isAsking = false
  #foreignVersion: number | undefined
  #closed: Error | undefined
  #nextId = 1
  #lastHeard = 0
  #check: NodeJS.Timeout | undefined

  constructor(machine: PortMachine) {
    this.#machine = machine
    this.#sender = new LineSender((bytes) => {
      this.#write(bytes)
    })
  }

  /** Runs a program to its end. Aborting the signal ends it and all that it started. */
  async run(program: GuestProgram, io: ProgramIo, signal: AbortSignal): Promise<ProgramEnd> {
    await this.open(signal)
    signal.throwIfAborted()
    const id = this.#nextId
    this.#nextId = id === 0xffff_ffff ? 1 : id + 1
    const run = new ProgramRun(program, io, (type, data = new Uint8Array()) => this.#sender.send({ type, id, data }))
    const stop = (): void => {
      run.stop(signal.reason)
    }
    this.#runs.set(id, run)
    signal.addEventListener('abort', stop)
    this.#watch()
    try {
      run.start()
      return await run.ended
    } finally {
      signal.removeEventListener('abort', stop)
      this.#runs.delete(id)
      if (this.#runs.size === 0) clearInterval(this.#check)
    }
  }

  /** Finds out whether the guest program answers. Rejects with a GuestUnavailableError if not. */
  async open(signal: AbortSignal): Promise<void> {
    while (!this.#isOpen) {
      if (this.#closed !== undefined) throw this.#closed
      this.#opening ??= this.#ask().finally(() => (this.#opening = undefined))
      await unlessAborted(this.#opening, signal)
    }
  }

  /** Takes what the guest wrote to the port. */
  receive(bytes: Uint8Array): void {
    this.#lastHeard = performance.now()
    for (const frame of this.#reader.push(bytes)) {
      try {
        this.#take(frame)
      } catch (error) {
        this.#lose(error instanceof ProtocolError ? error.reason : String(error))
      }
    }
  }

  /** The guest began anew: what it ran is gone. */
  reset(): void {
    this.#lose('the guest began anew')
  }

  /** The machine has ended. The error is that of calls which have sent nothing. */
  close(error: Error): void {
    this.#closed ??= error
    this.#answered()
    this.#lose('the guest has ended')
  }

  /** @throws ProtocolError for what the guest program would not send */
  #take(frame: Frame | undefined): void {
    const message = frame && parseGuestMessage(frame)
    if (frame === undefined || message === undefined) {
      // Before a session, others may have written to the port.
      if (this.#isOpen) throw new ProtocolError({ reason: 'the guest sends what is not a message' })
    } else if (message.type === 'hello') this.#greet(message)
    // What still comes of an earlier session is for nobody.
    else if (this.#isOpen) this.#takeInSession(frame.id, message)
  }

  #takeInSession(id: number, message: GuestMessage): void {
    if (message.type === 'broken') throw new ProtocolError({ reason: 'bytes to the guest were lost' })
    if (message.type !== 'line') this.#runs.get(id)?.receive(message)
    else if (!this.#sender.noteRead(message.bytesRead)) {
      throw new ProtocolError({ reason: 'the guest has read more than it was sent' })
    }
  }

  #greet({ session, version: spoken }: Extract<GuestMessage, { type: 'hello' }>): void {
    // It has begun, perhaps anew.
    if (session === 0 && this.#isOpen) throw new ProtocolError({ reason: 'the program in the guest began anew' })
    if (session !== this.#session || this.#isOpen) return
    this.#foreignVersion = spoken === version ? undefined : spoken
    this.#isOpen = spoken === version
    if (this.#isOpen) this.#sender.open()
    this.#answered()
  }

  async #ask(): Promise<void> {
    this.#foreignVersion = undefined
    for (let waitedMs = 0; waitedMs < answerTimeoutMs && !this.#isOpen;) {
      if (this.#closed !== undefined) throw this.#closed
      const answered = this.#answerWithin(askEveryMs)
      this.#sayHello()
      await answered
      this.#requireVersion()
      if (this.#machine.isRunning()) waitedMs += askEveryMs
    }
    if (!this.#isOpen) throw noAnswer()
  }

  #requireVersion(): void {
    if (this.#foreignVersion !== undefined) throw foreignProgram(this.#foreignVersion)
  }

  #answerWithin(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#answered = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** Unless the guest has not even taken the last one. */
  #sayHello(): void {
    if (this.#isAsking) return
    this.#isAsking = true
    const hello = encodeFrame({ type: toGuest.hello, id: this.#session, data: bytesOf([takesAllAtOnce, 1]) })
    // The zero byte ends what an earlier session may have left unfinished.
    this.#write(Buffer.concat([new Uint8Array(1), hello]), () => (this.#isAsking = false))
  }

  #write(bytes: Uint8Array, taken: () => void = () => undefined): void {
    this.#machine.send(bytes).then(taken, (error: unknown) => {
      this.#lose(String(error))
    })
  }

  /** Notices a guest program that answers no more. */
  #watch(): void {
    if (this.#runs.size !== 1) return
    this.#lastHeard = performance.now()
    this.#check = setInterval(() => {
      if (!this.#machine.isRunning()) this.#lastHeard = performance.now()
      else if (performance.now() - this.#lastHeard < silenceTimeoutMs) this.#sayHello()
      else this.#lose('the program in the guest that runs others does not answer')
    }, checkEveryMs)
  }

  /** Ends the session. Nobody can tell what becomes of the programs. */
  #lose(why: string): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#session = newSession()
    this.#sender.close()
    for (const run of this.#runs.values()) {
      run.lose(programEndUnknown(`${why} while a program ran`))
    }
  }
}

const newSession = (): number => randomInt(1, 2 ** 32)

const noAnswer = (): GuestUnavailableError =>
  new GuestUnavailableError({
    reason: 'nothing answers on the second serial port of the guest',
    hint: "It may still boot: wait with vm.guest.waitUntilReady(). A Linux with an initrd is given the program that answers, unless spec.guest says { way: 'none' }.",
    retryable: true,
  })

const foreignProgram = (spoken: number): GuestUnavailableError =>
  new GuestUnavailableError({
    reason: `the program in the guest speaks version ${String(spoken)} of the protocol, and this is version ${String(version)}`,
    hint: 'Start the guest anew, so that it gets the program of this version.',
  })

/** Settles like the promise, but rejects at once if the signal is aborted. */
const unlessAborted = <T>(promise: Promise<T>, signal: AbortSignal): Promise<T> =>
  new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(signal.reason as Error)
    }
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', abort)
    })
  })
