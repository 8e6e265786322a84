import { randomBytes } from 'node:crypto'
import type { ProgramEnd, ProgramIo } from '../driver/program-io.js'
import { HostError, InvalidArgumentError, OutcomeUnknownError } from '../errors.js'
import { goneWithGuest, programEndUnknown } from '../errors/program-end.js'
import type { GuestProgram, GuestWay } from '../guest/guest-way.js'
import { signalScript, stopScript } from '../guest/stop-scripts.js'
import { shell, wrappedProgram } from '../guest/wrapped-program.js'
import type { VmState } from '../model/vm-state.js'
import { LostConnectionError } from './guest-connection.js'
import type { GuestConnections } from './guest-connections.js'
import { unavailable } from './guest-socket.js'
import { quoteWords } from './quote.js'
import { SshProgram } from './ssh-program.js'
import type { SshSession } from './ssh-session.js'

/** The server gives the command line to the shell as one argument, which has at most 128 KiB on Linux. */
const maxCommandBytes = 131_071
/** Longest time for a script that signals or stops a program. */
const scriptTimeoutMs = 20_000
/** A script's exit code if the program has ended. */
const hasEnded = 3

/** What the way needs to know of the VM. */
export interface SshVm {
  readonly vm: string
  readonly driver: string
  /** The present state. */
  readonly look: () => Promise<VmState>
}

/** Runs programs in a guest by SSH: each in a channel of a connection that several share. */
export class SshWay implements GuestWay {
  readonly vm: string
  readonly driver: string
  readonly #look: () => Promise<VmState>
  readonly #connections: GuestConnections
  readonly #closing: AbortSignal

  /** @param closing ends the programs, as a cancellation does */
  constructor({ vm, driver, look }: SshVm, connections: GuestConnections, closing: AbortSignal) {
    this.vm = vm
    this.driver = driver
    this.#look = look
    this.#connections = connections
    this.#closing = closing
  }

  async run(program: GuestProgram, io: ProgramIo, cancelled: AbortSignal): Promise<ProgramEnd> {
    const signal = AbortSignal.any([cancelled, this.#closing])
    // All that the program starts has it in its environment.
    const id = randomBytes(12).toString('hex')
    const wrapped = wrappedProgram(program, io, this.driver)
    const command = `exec env ${quoteWords([`AWAITVM_PROGRAM=${id}`, ...wrapped.argv])}`
    if (Buffer.byteLength(command) > maxCommandBytes) throw tooLong()
    try {
      return await this.#connections.use(signal, async (session) => {
        if (program.endsWithClient === true) session.guard.watch(id)
        const running = await session.exec(command, program.pty, (channel) => {
          const started = new SshProgram(session.connection, channel, wrapped.io)
          wrapped.io.begun({
            kill: async (name) => !started.hasEnded && (await this.#signal(id, wrapped.pid, name.slice('SIG'.length))),
            ...(program.pty !== undefined && {
              resize: (size) => {
                started.resize(size)
                return Promise.resolve()
              },
            }),
          })
          started.feed(wrapped.io.input, program.pty !== undefined)
          return started
        })
        try {
          const end = await this.#ended(running, () => this.#stop(id, wrapped.pid), signal)
          wrapped.requireBegun(end)
          return end
        } finally {
          if (running.hasEnded) session.guard.leave(id)
        }
      })
    } catch (error) {
      throw await this.#explain(error, program)
    }
  }

  /** The end of the program, which an abort or an error of its input brings about. */
  async #ended(running: SshProgram, stop: () => Promise<boolean>, signal: AbortSignal): Promise<ProgramEnd> {
    const ended = running.ended()
    const aborted = onceAborted(signal)
    try {
      // A program that is stopped does not have its output taken any more.
      const first = await Promise.race([ended, aborted.promise])
      if (first !== undefined) return first
      if (await stop()) throw signal.reason
      return await ended
    } catch (error) {
      if (running.hasEnded || error instanceof LostConnectionError || signal.aborted) throw error
      // The input or a sink has failed.
      await stop()
      throw error
    } finally {
      aborted.forget()
      ended.catch(() => undefined)
      running.close()
    }
  }

  /** Kills the program and all that it started. False if it had ended. */
  async #stop(id: string, pid: number | undefined): Promise<boolean> {
    try {
      return await this.#script(stopScript, id, pid)
    } catch (error) {
      if (error instanceof OutcomeUnknownError) throw error
      const reason = error instanceof Error ? error.message : String(error)
      throw programEndUnknown(`it could not be stopped: ${reason}`, { cause: error })
    }
  }

  #signal(id: string, pid: number | undefined, name: string): Promise<boolean> {
    return this.#script(signalScript, id, pid, name)
  }

  /** Runs a script for a program. False if the program has ended. */
  async #script(script: string, id: string, pid: number | undefined, ...more: readonly string[]): Promise<boolean> {
    const command = `exec ${quoteWords([shell, '-c', script, 'sh', '', id, pid === undefined ? '' : String(pid), '', ...more])}`
    const deadline = AbortSignal.timeout(scriptTimeoutMs)
    const { exitCode, said } = await this.#connections.use(deadline, (session) => runScript(session, command, deadline))
    if (exitCode === 0) return true
    if (exitCode === hasEnded) return false
    throw new HostError({
      reason: `the guest can't signal it: ${said}`,
      native: { driver: this.driver, code: exitCode, message: said },
    })
  }

  async #explain(error: unknown, { isHarmless = false }: GuestProgram): Promise<unknown> {
    if (!(error instanceof LostConnectionError)) return error
    const state = await this.#look().catch((): VmState => 'unknown')
    const reason = state === 'running' || state === 'unknown' ? error.message : goneWithGuest(state)
    return error.isSent && !isHarmless
      ? programEndUnknown(reason, { cause: error })
      : unavailable(reason, this.driver, error)
  }
}

/** Runs a short script to its end. */
async function runScript(
  session: SshSession,
  command: string,
  signal: AbortSignal,
): Promise<{ readonly exitCode: number | undefined; readonly said: string }> {
  let said = ''
  const running = await session.exec(command, undefined, (channel) => {
    const started = new SshProgram(session.connection, channel, {
      input: undefined,
      output: (_stream, bytes) => {
        said = `${said}${Buffer.from(bytes).toString()}`.slice(0, 500)
      },
      begun: () => undefined,
    })
    started.feed(undefined, false)
    return started
  })
  const ended = running.ended()
  const aborted = onceAborted(signal)
  try {
    const end = await Promise.race([ended, aborted.promise])
    if (end === undefined) throw signal.reason
    return { exitCode: end.exitCode, said: said.trim() }
  } finally {
    aborted.forget()
    ended.catch(() => undefined)
    running.close()
  }
}

function onceAborted(signal: AbortSignal): { readonly promise: Promise<undefined>; readonly forget: () => void } {
  let wake: () => void = () => undefined
  const promise = new Promise<undefined>((resolve) => {
    wake = () => {
      resolve(undefined)
    }
  })
  if (signal.aborted) wake()
  signal.addEventListener('abort', wake)
  return {
    promise,
    forget: () => {
      signal.removeEventListener('abort', wake)
    },
  }
}

const tooLong = (): InvalidArgumentError =>
  new InvalidArgumentError({
    path: 'command',
    reason: `command must have at most some ${String(maxCommandBytes)} bytes, with its arguments and variables`,
    hint: 'Give the program what it reads as its input, or write it to a file with vm.guest.writeFile().',
  })
