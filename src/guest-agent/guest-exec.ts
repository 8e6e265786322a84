import {
  InvalidArgumentError,
  InvalidStateError,
  JobCancelledError,
  type OutcomeUnknownError,
  VmError,
} from '../errors.js'
import { nativeErrorOf } from '../errors/native.js'
import { goneWithGuest, programEndUnknown } from '../errors/program-end.js'
import { hostTask, type HostTask } from '../driver/host-task.js'
import { poll } from '../driver/poll.js'
import type { Task } from '../driver/task.js'
import type { BufferedEnd } from '../driver/buffered-program.js'
import type { Agent, GuestAgent } from './agent.js'
import {
  AgentAbsentError,
  AgentCommandError,
  AgentConnectionError,
  AgentSilentError,
  NoShellError,
} from './agent-errors.js'
import { endOfProgram, isMissing, runScript, soonEndOf, startProgram } from './agent-program.js'
import { noProgram, type GuestCommand } from './guest-command.js'

const pauses = { initialMs: 50, maxMs: 1000, factor: 1.5 }
/** How long the agent may be unreachable before the outcome of a program is unknown. */
const maxSilenceMs = 60_000
/** How long to wait for the agent to report a killed program. It never does if another process holds the outputs open. */
const killedMs = 3000
const killSignal = 9

/**
 * Kills a process and its descendants, after stopping each, so that it starts no more. Exits with 3 unless the process is a child of
 * the agent, as this script is.
 */
const killScript = `while read -r key value; do [ "$key" = PPid: ] && parent=$value; done 2>/dev/null <"/proc/$1/status"
[ "$parent" = "$PPID" ] || exit 3
halt() {
  kill -STOP "$1" 2>/dev/null
  for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do halt "$child"; done
  found="$found $1"
}
halt "$1"
kill -KILL $found`

/** A program that the agent has started. */
interface Begun {
  readonly pid: number
  /** The result, if the program has ended at once. */
  readonly end: BufferedEnd | undefined
}

/** One program in a guest, from its start to its end. */
export class GuestExec {
  readonly #guest: GuestAgent
  readonly #command: GuestCommand
  readonly #task: HostTask
  readonly #unbegun = new AbortController()
  readonly #wake = new AbortController()
  #beginning: Promise<Begun> | undefined
  #silentSince: number | undefined
  #killedAt: number | undefined
  #isAbandoned = false

  constructor(guest: GuestAgent, command: GuestCommand, task: Task) {
    this.#guest = guest
    this.#command = command
    this.#task = hostTask(task)
  }

  async result(): Promise<BufferedEnd> {
    this.#beginning = this.#guest.turn((agent) => this.#begin(agent))
    const begun = await this.#beginning
    const end = begun.end ?? (await this.#follow(begun.pid))
    const refusal = this.#command.refusalIn(end)
    if (refusal !== undefined) throw refusal
    if (this.#killedAt !== undefined && end.signal === killSignal) throw killed()
    return end
  }

  /** Kills the program. Returns false if it runs on. */
  async stop(): Promise<boolean> {
    this.#unbegun.abort(new DOMException('it was cancelled', 'AbortError'))
    // If the program was not started, its own outcome tells why.
    const begun = await this.#beginning?.catch(() => undefined)
    if (begun === undefined) return true
    const { exitCode } = await this.#guest.turn((agent) => runScript(agent, killScript, String(begun.pid)))
    if (exitCode === 0) this.#killedAt = performance.now()
    this.#wake.abort()
    // A program that has ended by itself reports its result.
    return exitCode === 0 || exitCode === 3
  }

  /** Stops following a program that can't be stopped. */
  abandon(): void {
    this.#isAbandoned = true
    this.#wake.abort()
  }

  async #begin(agent: Agent): Promise<Begun> {
    this.#unbegun.signal.throwIfAborted()
    const pid = await startProgram(agent, this.#command.program).catch(async (error: unknown) => {
      // The agent may have read the command, so that the program may run.
      throw error instanceof AgentCommandError ? this.#startError(error) : await this.#unknownEnd(error)
    })
    this.#task.progress({ phase: 'running' })
    return { pid, end: await this.#look(() => soonEndOf(agent, pid)) }
  }

  #follow(pid: number): Promise<BufferedEnd> {
    return poll(
      () => {
        if (this.#isAbandoned) throw programEndUnknown('the server was closed')
        if (this.#killedAt !== undefined && performance.now() > this.#killedAt + killedMs) throw killed()
        return this.#look(() => this.#guest.turn((agent) => endOfProgram(agent, pid)))
      },
      { ...pauses, hurry: this.#wake.signal },
    )
  }

  /** Asks for the program's result; `undefined` if it has to be asked for again. */
  async #look(ask: () => Promise<BufferedEnd | undefined>): Promise<BufferedEnd | undefined> {
    try {
      const end = await ask()
      this.#silentSince = undefined
      this.#task.setReachable(true)
      return end
    } catch (error) {
      // The program is paused together with its guest.
      if (error instanceof InvalidStateError && error.state === 'paused') return undefined
      // A host whose guest ends closes the connection first: what has become of the VM is known a moment later.
      const isToBeAsked = error instanceof AgentSilentError || error instanceof AgentConnectionError
      if (!isToBeAsked) throw await this.#unknownEnd(error)
      this.#silentSince ??= performance.now()
      if (performance.now() > this.#silentSince + maxSilenceMs) throw await this.#unknownEnd(error)
      this.#task.setReachable(false)
      return undefined
    }
  }

  /** Error for a program that may have been started, by the cause. */
  async #unknownEnd(cause: unknown): Promise<OutcomeUnknownError> {
    if (cause instanceof AgentAbsentError) return programEndUnknown('the agent in its guest has ended', { cause })
    if (cause instanceof AgentCommandError) return programEndUnknown('the agent in its guest was restarted', { cause })
    if (cause instanceof DOMException) return programEndUnknown('the server was closed', { cause })
    if (cause instanceof InvalidStateError) return programEndUnknown(goneWithGuest(cause.state), { cause })
    if (cause instanceof AgentConnectionError) {
      const state = await this.#guest.look().catch(() => 'unknown')
      return programEndUnknown(goneWithGuest(state), { cause })
    }
    return programEndUnknown(cause instanceof VmError ? cause.reason : String(cause), { cause })
  }

  #startError(error: AgentCommandError): unknown {
    const { program, isWrapped } = this.#command
    if (error.code === 'CommandNotFound') return error
    if (isMissing(error)) return isWrapped ? new NoShellError(error) : noProgram(program.path, error)
    const native = nativeErrorOf(this.#guest.driver, error)
    return new InvalidArgumentError({
      path: 'command',
      reason: `the guest says: ${native.message}`,
      native,
      cause: error,
    })
  }
}

const killed = (): JobCancelledError =>
  new JobCancelledError({ reason: 'it was cancelled, and the program was killed' })
