import type { Duplex } from 'node:stream'
import { Deferred } from '../driver/deferred.js'
import type { ProgramControl, ProgramEnd, ProgramIo } from '../driver/program-io.js'
import { HostError, InsufficientResourcesError } from '../errors.js'
import { programEndUnknown } from '../errors/program-end.js'
import type { GuestProgram } from '../guest/guest-way.js'
import { noFolder, noProgram } from '../guest/refusals.js'
import { signalOf, type SignalName } from '../model/signal.js'
import { pieceBytes, writeNewFile } from './agent-file.js'
import { BulkTransfer } from './bulk-transfer.js'
import type { GuestShell, ShellUser } from './guest-shell.js'
import { inputAtHand, type InputAtHand } from './input-at-hand.js'
import { commandOf } from './program-command.js'
import { ProgramInput } from './program-input.js'
import { ProgramOutput } from './program-output.js'
import type { ShellLine } from './shell-log.js'
import { untilAnswered } from './until-answered.js'

/** How long a program runs before its output is passed on live. What a shorter one prints is fetched at its end. */
const shortMs = 100

/** The same for a program whose data pass by the port: the rest is little. */
const shortByPortMs = 1000

/** How long to wait for the port for much data. */
const portTimeoutMs = 10_000
/** How long the rest of the output may take of a program that had ended when it was to be stopped: its reader may want no more. */
const lastOutputMs = 1000
/** How long the guest may take to tell whether a signal was sent, and the program ended. It may be paused, or have much to do. */
const stopTimeoutMs = 120_000

/** Another client is connected to the port for much data. */
export class PortTakenError extends Error {
  constructor() {
    super('another client has the port for much data')
    this.name = 'PortTakenError'
  }
}

type Begun = Extract<ShellLine, { kind: 'begun' }>
type Ended = Extract<ShellLine, { kind: 'ended' }>

/** One program in the shell of a guest, from its start to its end. */
export class ShellProgram implements ShellUser {
  readonly #shell: GuestShell
  readonly #program: GuestProgram
  readonly #io: ProgramIo
  readonly #number: number
  readonly #begun = new Deferred<Begun>()
  readonly #ended = new Deferred<Ended>()
  /** The questions whether a signal was sent. */
  readonly #sent = new Map<number, Deferred<boolean>>()
  /** Aborted with the reason why the program must end. */
  readonly #stopping = new AbortController()
  readonly #outputs: { readonly o: ProgramOutput; readonly e: ProgramOutput }
  readonly #input: ProgramInput
  readonly #bulk: BulkTransfer | undefined
  readonly #onReachable: (isReachable: boolean) => void
  #following: Promise<unknown> | undefined
  #transferring: Promise<void> | undefined
  #waiter: number | undefined
  #late: NodeJS.Timeout | undefined
  /** Whether there are processes in the guest that pass input or output of the program on. */
  #hasHelpers = false

  /**
   * @param onReachable told when the agent can't be asked about the program, and when it can again
   * @param port the port for much data, which the input goes to if there is one, and otherwise the output comes from
   */
  constructor(
    shell: GuestShell,
    program: GuestProgram,
    io: ProgramIo,
    onReachable: (isReachable: boolean) => void,
    port?: Duplex,
  ) {
    this.#shell = shell
    this.#program = program
    this.#io = io
    this.#onReachable = onReachable
    this.#number = shell.add(this)
    this.#outputs = {
      o: new ProgramOutput(shell, this.#number, 'o', io.output),
      e: new ProgramOutput(shell, this.#number, 'e', io.output),
    }
    this.#input = new ProgramInput(shell, this.#number)
    this.#bulk = port && new BulkTransfer(port, io, shell.mark)
  }

  get waiter(): number | undefined {
    return this.#waiter
  }

  /** @throws PortTakenError if another client has the port: the program has not run, and nothing of its input was taken */
  async run(signal: AbortSignal): Promise<ProgramEnd> {
    const stop = (): void => {
      this.#stop(signal.reason)
    }
    signal.addEventListener('abort', stop)
    let input: InputAtHand | undefined
    try {
      const command = commandOf(this.#program)
      if (this.#bulk === undefined && this.#io.input !== undefined)
        input = await inputAtHand(this.#io.input, pieceBytes)
      const source = this.#bulk?.direction ?? (await this.#prepareInput(input))
      signal.throwIfAborted()
      const run = `${this.#name} ${command.head} ${source} ${command.argv}`
      if (this.#bulk === undefined) this.#shell.run(this.#number, `run ${run}`)
      else {
        this.#hasHelpers = true
        this.#shell.start(this.#number, `bulk ${this.#bulk.word} ${run} & helper ${this.#name} $!`)
      }
      return await this.#untilEnd(input)
    } finally {
      signal.removeEventListener('abort', stop)
      input?.end()
      // Whether a signal was sent may be told after the end that it has caused.
      if (this.#sent.size > 0) {
        this.#limit()
        await Promise.allSettled([...this.#sent.values()].map(({ promise }) => promise))
      }
      clearTimeout(this.#late)
      this.#leave()
    }
  }

  tell(line: ShellLine): void {
    switch (line.kind) {
      case 'begun':
        this.#waiter = line.parent
        this.#begun.resolve(line)
        return
      case 'missing':
        this.fail(this.#missing(line.what))
        return
      case 'ended':
        this.#waiter = undefined
        for (const output of Object.values(this.#outputs)) output.noteEnd()
        this.#ended.resolve(line)
        this.#begun.reject(notBegun(this.#shell.guest.driver, line.code))
        return
      case 'output':
        this.#outputs[line.stream].noteFile()
        return
      case 'input':
        this.#input.note(line.isClosed)
        return
      case 'full':
        this.#stop(fullGuest())
        return
      case 'sent':
        this.#sent.get(line.id)?.resolve(line.isSent)
        return
      case 'ready':
      case 'other':
    }
  }

  fail(error: Error): void {
    this.#waiter = undefined
    for (const output of Object.values(this.#outputs)) output.stop()
    for (const each of [this.#begun, this.#ended, ...this.#sent.values()]) each.reject(error)
  }

  setReachable(isReachable: boolean): void {
    this.#onReachable(isReachable)
  }

  async #prepareInput(input: InputAtHand | undefined): Promise<string> {
    if (input === undefined || (input.rest === undefined && input.bytes.byteLength === 0)) return '/dev/null'
    const name = `${this.#name}.i`
    if (input.rest === undefined) {
      const { bytes } = input
      await untilAnswered(() => this.#shell.guest.turn((agent) => writeNewFile(agent, this.#shell.file(name), bytes)))
    } else {
      this.#hasHelpers = true
      this.#shell.send(`open_feed ${this.#name}`)
    }
    return name
  }

  async #untilEnd(input: InputAtHand | undefined): Promise<ProgramEnd> {
    const { signal } = this.#stopping
    if (this.#bulk !== undefined) {
      let isTransferring = true
      this.#transferring = this.#bulk.run().finally(() => {
        isTransferring = false
        this.#shell.setQuiet(this.#number, false)
      })
      this.#attempt(this.#transferring)
      // Another client that does nothing keeps the port.
      const late = setTimeout(this.#begun.reject, portTimeoutMs, new PortTakenError())
      await this.#begun.promise.finally(() => {
        clearTimeout(late)
      })
      this.#shell.setQuiet(this.#number, isTransferring)
    } else await this.#begun.promise
    this.#io.begun(this.#control())
    const relaying = setTimeout(
      () => {
        this.#relay()
      },
      this.#bulk !== undefined ? shortByPortMs : this.#program.isBulk === true ? 0 : shortMs,
    )
    if (input?.rest !== undefined) this.#attempt(this.#input.feed(input.bytes, input.rest))
    const stopped = new Deferred<never>()
    const cut = new Deferred<true>()
    let killing: Promise<boolean> | undefined
    const stop = (): void => {
      killing = this.#kill()
      killing.then((isKilled) => {
        if (isKilled) stopped.reject(signal.reason)
        else setTimeout(cut.resolve, lastOutputMs, true)
      }, stopped.reject)
    }
    try {
      signal.addEventListener('abort', stop)
      if (signal.aborted) stop()
      const end = await Promise.race([this.#ended.promise, stopped.promise])
      clearTimeout(relaying)
      if ((await killing) === true) throw signal.reason
      const isCut = await Promise.race([this.#takeOutput(end), cut.promise, stopped.promise])
      return { ...endOf(end), ...(isCut === true && { isTruncated: true }) }
    } finally {
      clearTimeout(relaying)
      signal.removeEventListener('abort', stop)
    }
  }

  /** Lets relays take the output as it comes. */
  #relay(): void {
    this.#hasHelpers = true
    this.#shell.send(`live ${this.#name}`)
    this.#following = Promise.all([this.#outputs.o.follow(), this.#outputs.e.follow()])
    this.#attempt(this.#following)
  }

  async #takeOutput({ where }: Ended): Promise<void> {
    if (this.#bulk?.direction === 'out') await this.#transferring
    if (where === 'relayed') {
      await this.#following
      return
    }
    for (const output of Object.values(this.#outputs)) output.stop()
    await this.#following
    await Promise.all(
      (['o', 'e'] as const)
        .filter((letter) => where.includes(letter))
        .map((letter) => this.#outputs[letter].readKept()),
    )
  }

  /** Ends the program if the work fails. */
  #attempt(work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      this.#stop(error)
    })
  }

  #stop(reason: unknown): void {
    if (this.#stopping.signal.aborted) return
    this.#stopping.abort(reason)
    this.#limit()
  }

  /** Limits the time in which the guest is waited for. */
  #limit(): void {
    this.#late ??= setTimeout(() => {
      this.fail(programEndUnknown('its guest does not tell whether it was ended'))
    }, stopTimeoutMs)
  }

  /** Kills the program and all that it started; false if it has ended by itself. */
  async #kill(): Promise<boolean> {
    const isKilled = await this.#ask((id, { pid, parent }) => `stop ${this.#name} ${id} ${pid} ${parent} &`)
    if (isKilled) await this.#ended.promise
    return isKilled
  }

  async #ask(command: (id: number, begun: Begun) => string): Promise<boolean> {
    const begun = await this.#begun.promise
    const id = this.#shell.nextId()
    const sent = new Deferred<boolean>()
    this.#sent.set(id, sent)
    try {
      this.#shell.setQuiet(this.#number, false)
      this.#shell.touch()
      this.#shell.send(command(id, begun))
      return await sent.promise
    } finally {
      this.#sent.delete(id)
    }
  }

  #control(): ProgramControl {
    return {
      kill: (signal: SignalName) => {
        const name = signal.slice('SIG'.length)
        return this.#ask((id, { pid, parent }) => `signal ${this.#name} ${id} ${name} ${pid} ${parent}`)
      },
    }
  }

  /** Ends what helps the program in the guest, and lets its files be removed. */
  #leave(): void {
    this.#input.stop()
    for (const output of Object.values(this.#outputs)) output.stop()
    if (this.#hasHelpers) this.#shell.send(`leave ${this.#name} '${String(this.#begun.value?.parent ?? '')}'`)
    this.#shell.remove(this.#number, this.#hasHelpers)
  }

  #missing(what: string): Error {
    const { argv, cwd = '' } = this.#program
    if (what === 'program') return noProgram(argv[0] ?? '')
    if (what === 'folder') return noFolder(cwd)
    return what === 'port' ? new PortTakenError() : fullGuest()
  }

  get #name(): string {
    return String(this.#number)
  }
}

/** A shell does not tell these signals from an exit code of 128 and more, and programs rarely end with such a code by themselves. */
const untold: readonly number[] = [130, 141]

function endOf({ code, isSignalled }: Ended): ProgramEnd {
  const signal = isSignalled || untold.includes(code) ? signalOf(code - 128) : undefined
  return signal === undefined ? { exitCode: code } : { signal }
}

const fullGuest = (): InsufficientResourcesError =>
  new InsufficientResourcesError({
    reason: 'the guest has no room for the output of the program in /run or /tmp',
    hint: 'Give the guest more memory, or make room there, and run the program again.',
  })

const notBegun = (driver: string, code: number): HostError =>
  new HostError({
    reason: 'the shell of the guest could not start the program',
    native: { driver, message: `the shell ended with the code ${String(code)}` },
  })
