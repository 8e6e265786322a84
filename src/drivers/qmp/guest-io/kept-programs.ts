import { randomBytes } from 'node:crypto'
import { inBackground } from '../../../background.js'
import { pause } from '../../../driver/backoff.js'
import type { DriverInputs } from '../../../driver/driver.js'
import { hostTask, type HostTask } from '../../../driver/host-task.js'
import type { HostWork } from '../../../driver/host-work.js'
import type { ProgramEnd, ProgramIo } from '../../../driver/program-io.js'
import type { Task } from '../../../driver/task.js'
import { goneWithGuest, programEndUnknown } from '../../../errors/program-end.js'
import { readError } from '../../../errors/written-error.js'
import { JobCancelledError, OutcomeUnknownError, VmError } from '../../../errors.js'
import type { GuestWay } from '../../../guest/guest-way.js'
import {
  KeptFollower,
  removeKept,
  startKept,
  type KeptGuest,
  type KeptOutcome,
  type KeptProgram,
} from '../../../guest/kept-program.js'
import { refusedOption } from '../../../guest/refusals.js'
import { argvOf } from '../../../guest/wrapped-program.js'
import type { VmState } from '../../../model/vm-state.js'
import type { JobLedger } from '../../../registry/job-ledger.js'
import type { RunningVm, VmAccess } from '../vm-access.js'
import type { GuestClocks } from './guest-clocks.js'

interface Parts {
  readonly work: HostWork
  readonly jobs: JobLedger
  readonly access: VmAccess
  readonly clocks: GuestClocks
  /** `stopped` for one that was deleted. */
  readonly stateOf: (vm: string) => Promise<VmState>
  readonly wayInto: (running: RunningVm, task: Task) => GuestWay
}

/** A program that is followed to its end. */
interface Followed {
  readonly vm: string
  readonly token: string
  readonly kept: KeptProgram
  /** Whether its output and its end stay in the guest, for those who attach. */
  readonly isListed: boolean
}

/** Errors of a guest that can't be reached at present. */
const passing: ReadonlySet<string> = new Set(['OUTCOME_UNKNOWN', 'GUEST_UNAVAILABLE', 'INVALID_STATE'])
/** How often a guest is tried that can't be reached. */
const retryMs = 250
/** The longest name that is kept for errors. */
const maxName = 1000

/** Whether a guest has ended in this state, with its programs. */
export const isOver = (state: VmState): boolean => state === 'stopped' || state === 'crashed'

/** The error of a program that can't be followed to its end: it has run, and may still do so. */
const endUnknown = (error: unknown): unknown =>
  error instanceof VmError && !(error instanceof OutcomeUnknownError)
    ? programEndUnknown(error.reason, { cause: error })
    : error

/** Programs that outlive this process: their guest keeps them, and the directory of VMs has their records. */
export class KeptPrograms {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  exec({ vm, command, options, io }: DriverInputs['guest.exec'], task: Task): Promise<ProgramEnd> {
    const { work, jobs, access, clocks, wayInto } = this.#parts
    const { signal } = task
    return work.change(task, async (sending) => {
      if (options.pty !== undefined) {
        throw refusedOption('pty', 'a detached program has no terminal', 'Run it without detached, or without pty.')
      }
      const argv = argvOf(command)
      const [name = ''] = argv
      const { cwd = '', user = '' } = options
      const kept: KeptProgram = {
        id: randomBytes(12).toString('hex'),
        hasInput: io.input !== undefined,
        name: name.slice(0, maxName),
        cwd: cwd.slice(0, maxName),
        user: user.slice(0, maxName),
      }
      const { id, name: called } = await access.get(vm)
      await clocks.hurry(vm, sending.signal)
      const token = await access.use(vm, task, sending, async (running) => {
        signal.throwIfAborted()
        // The record comes first: what is started is found, even if this process is killed right after it.
        const made = jobs.keepProgram({ id, name: called }, kept)
        task.setToken(made)
        try {
          await startKept(wayInto(running, task), kept, { argv, ...options })
        } catch (error) {
          if (error instanceof OutcomeUnknownError) jobs.programHasStarted(made)
          else jobs.forgetProgram(made)
          throw error
        }
        jobs.programHasStarted(made)
        return made
      })
      return await this.#follow({ vm, token, kept, isListed: false }, io, task)
    })
  }

  /** `undefined` if the token is not that of a program. */
  attach({ token, io, isListed }: DriverInputs['server.attachJob'], task: Task): Promise<ProgramEnd> | undefined {
    const { vm, program } = this.#parts.jobs.programOf(token) ?? {}
    if (program === undefined || vm === undefined) return undefined
    task.setToken(token)
    return this.#follow({ vm: vm.id, token, kept: program, isListed }, io, task)
  }

  async #follow(program: Followed, io: ProgramIo, task: Task): Promise<ProgramEnd> {
    const { jobs } = this.#parts
    const { token, kept, isListed } = program
    const host = hostTask(task)
    const { signal } = task
    const guest = this.#guestOf(program, task)
    const follower = new KeptFollower(guest, kept, io)
    /** Aborted with the reason why it is followed no longer, though it may run. */
    const givenUp = new AbortController()
    const giveUp = (error: unknown): void => {
      givenUp.abort(error)
    }
    const ended = new AbortController()
    /** What else is done in the guest, which must end before the job does: the connection may be closed then. */
    const beside: Promise<void>[] = []
    const doBeside = (action: () => Promise<unknown>): void => {
      void follower.begun.then(() => {
        if (ended.signal.aborted) return
        const done = action().then(
          () => undefined,
          (error: unknown) => {
            if (!ended.signal.aborted) giveUp(error)
          },
        )
        beside.push(done)
      })
    }
    const stop = (): void => {
      doBeside(() => follower.stop())
    }
    signal.addEventListener('abort', stop)
    if (signal.aborted) stop()
    const { input } = io
    if (kept.hasInput && input !== undefined) doBeside(() => follower.feed(input, ended.signal))
    let outcome: KeptOutcome | undefined
    try {
      outcome = await this.#untilEnd(program, follower, givenUp.signal, task)
    } catch (error) {
      throw endUnknown(givenUp.signal.aborted ? givenUp.signal.reason : error)
    } finally {
      signal.removeEventListener('abort', stop)
      ended.abort()
      await Promise.all(beside)
    }
    if (outcome !== undefined) jobs.endProgram(token, outcome)
    if (!isListed) await this.#remove(guest, program)
    if (outcome === undefined) return await this.#taken(token, io, host)
    if (follower.inputFailure !== undefined) throw follower.inputFailure.error
    if ('end' in outcome) return outcome.end
    throw this.#told(outcome.error, host)
  }

  /** What the record tells of a program that its guest does not have any more. */
  async #taken(token: string, io: ProgramIo, host: HostTask): Promise<ProgramEnd> {
    const { jobs } = this.#parts
    const outcome = jobs.programOf(token)?.outcome
    if (outcome?.kind === 'failed') throw this.#told(readError(outcome.error), host)
    if (outcome?.end === undefined) {
      jobs.forgetProgram(token)
      throw programEndUnknown('its guest does not have it: it was not started there, or the guest was restarted')
    }
    io.begun({ kill: () => Promise.resolve(false) })
    // Its output went to the one who took its end.
    return { ...outcome.end, isTruncated: true }
  }

  /** The error of a program. Any of those who follow it may have asked it to end. */
  #told(error: unknown, host: HostTask): unknown {
    if (error instanceof JobCancelledError && !host.isAskedToStop) host.noteCancel(error.reason)
    return error
  }

  #guestOf({ vm }: Followed, task: Task): KeptGuest {
    const { access, wayInto } = this.#parts
    const sending = { signal: new AbortController().signal, send: () => undefined }
    return {
      driver: 'qmp',
      use: (action) =>
        access.use(vm, { operation: 'guest.exec' }, sending, (running) => action(wayInto(running, task))),
    }
  }

  /** Removes what the program has left in its guest. Its keeper does it later if that fails. */
  async #remove(guest: KeptGuest, { vm, kept }: Followed): Promise<void> {
    try {
      await guest.use((way) => removeKept(way, kept))
    } catch (error) {
      const state = await this.#parts.stateOf(vm)
      if (!isOver(state))
        inBackground('Removing what a program has left in its guest', () => {
          throw error
        })
    }
  }

  async #untilEnd(
    { vm, token }: Followed,
    follower: KeptFollower,
    givenUp: AbortSignal,
    task: Task,
  ): Promise<KeptOutcome | undefined> {
    const { work, jobs } = this.#parts
    const host = hostTask(task)
    for (;;) {
      try {
        const outcome = await follower.follow(givenUp)
        host.setReachable(true)
        if (outcome !== undefined || !jobs.isStarting(token)) return outcome
      } catch (error) {
        const mayPass = error instanceof VmError && passing.has(error.code)
        if (!mayPass || givenUp.aborted || work.isClosed || task.signal.aborted) throw error
        const state = await this.#parts.stateOf(vm)
        if (isOver(state)) {
          if (jobs.programOf(token)?.outcome !== undefined) return undefined
          throw programEndUnknown(goneWithGuest(state), { cause: error })
        }
        host.setReachable(false)
      }
      await pause(retryMs, givenUp, task.signal, work.closing)
    }
  }
}
