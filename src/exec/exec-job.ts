import type { Readable, Writable } from 'node:stream'
import * as v from 'valibot'
import { JobFinishedError, NotSupportedError, type VmError } from '../errors.js'
import { validate } from '../errors/validate.js'
import type { JobCore } from '../job/job-core.js'
import type { JobOptions } from '../job/job-options.js'
import type { JobRunner } from '../job/job-runner.js'
import { Job, JobRef } from '../job/job.js'
import type { ExecResult, ProgramOutput, PtySize } from '../model/exec.js'
import { flag, object, optional, whole } from '../model/schema.js'
import { signalNames, type SignalName } from '../model/signal.js'
import type { KillErrors, ResizeErrors, UncheckedExecErrors } from '../operation-errors.js'
import { ProgramSession } from './program-session.js'
import { asText } from './text-pieces.js'

const signalSchema = v.picklist(signalNames, 'must be the name of a signal, such as "SIGTERM"')

const endSchema = v.object({
  exitCode: optional(v.number()),
  signal: optional(v.picklist(signalNames)),
  isTruncated: flag,
  durationMs: optional(v.number()),
})

/** A size of a terminal. */
export const ptySizeSchema = object({ columns: whole(65_535), rows: whole(65_535) })

/**
 * A program that runs in a guest: a {@link Job} with the program's streams. `await` it for the result; or read its output while it
 * runs, write to its standard input, and send it signals.
 *
 * What nobody reads is only kept for the result, up to a limit. A stream that was asked for gets all output, and the program waits
 * for its reader. Ask for it right after the call: once output was dropped because of the limit, it fails.
 *
 * `cancel()` and `timeoutMs` end the program and all that it started.
 */
export class ExecJob<
  out Output extends string | Uint8Array = string,
  out E extends VmError = UncheckedExecErrors,
  out T = ExecResult<Output>,
> extends Job<T, E> {
  readonly #session: ProgramSession<Output>
  readonly #runner: JobRunner

  /** @internal */
  constructor(core: JobCore<T, E>, session: ProgramSession<Output>, runner: JobRunner) {
    super(core)
    this.#session = session
    this.#runner = runner
    sessions.set(core, session)
    const end = (): void => {
      session.close(whyCutOff(core))
    }
    if (core.isSettled) end()
    else core.listen({ onSettled: end })
  }

  /**
   * What the program writes to its standard output, as bytes. It ends with the program; if the job fails otherwise, it is destroyed
   * without an error, and the job tells why.
   */
  get stdout(): Readable {
    return this.#session.stream('stdout')
  }

  /** What the program writes to its standard error, as {@link stdout}. Empty if it has a terminal. */
  get stderr(): Readable {
    return this.#session.stream('stderr')
  }

  /**
   * The program's standard input, with `stdin: 'pipe'`; else it is at its end. `end()` closes it. Writing after the program has ended is
   * an error with the code `EPIPE`.
   */
  get stdin(): Writable {
    return this.#session.stdin
  }

  /**
   * What the program writes to both outputs, in order, from its first output on; the program waits for the loop. The loop ends with
   * the program, and throws the job's error if the job fails otherwise.
   */
  output(): AsyncIterable<ProgramOutput<Output>> {
    return this.#session.pieces() as AsyncIterable<ProgramOutput<Output>>
  }

  /**
   * Sends a signal to the program, `SIGTERM` if absent; before it runs, as soon as it does. Succeeds once the signal was sent. Ends with a
   * `JobFinishedError` if the program had ended.
   */
  kill(signal: SignalName = 'SIGTERM', options?: JobOptions): Job<void, KillErrors> {
    const operation = 'job.kill'
    const valid = validate(signalSchema, signal, 'signal')
    if (valid.isErr()) return this.#runner.refuse(operation, this.target, valid.error)
    return this.#runner.runAside({
      operation,
      target: this.target,
      options,
      work: async (task) => {
        const control = await this.#session.control(task.signal)
        if (!(await control.kill(valid.value))) throw new JobFinishedError({ reason: 'the program had ended' })
      },
    })
  }

  /** Resizes the program's terminal. Ends with a `NotSupportedError` if it has none. */
  resize(size: PtySize, options?: JobOptions): Job<void, ResizeErrors> {
    const operation = 'job.resize'
    const valid = validate(ptySizeSchema, size, 'size')
    if (valid.isErr()) return this.#runner.refuse(operation, this.target, valid.error)
    return this.#runner.runAside({
      operation,
      target: this.target,
      options,
      work: async (task) => {
        const control = await this.#session.control(task.signal)
        if (control.resize === undefined) {
          const hint = 'Run it with the option pty.'
          throw new NotSupportedError({ capability: operation, reason: 'the program has no terminal', hint })
        }
        await control.resize(valid.value)
      },
    })
  }
}

/** What passes between a program and its user, by the job. */
const sessions = new WeakMap<JobCore<unknown, VmError>, ProgramSession<string | Uint8Array>>()

/** A handle of a job that was made before: an {@link ExecJob} if it is that of a program. */
export function jobOf(core: JobCore<unknown, VmError>, runner: JobRunner): Job<unknown> {
  const session = sessions.get(core)
  return session === undefined
    ? new Job(core)
    : new ExecJob<string | Uint8Array, VmError, unknown>(core, session, runner)
}

/** The job of a call that runs a program. */
export const execJob = <Output extends string | Uint8Array, E extends VmError, T>(
  job: Job<T, E>,
  session: ProgramSession<Output>,
  runner: JobRunner,
): ExecJob<Output, E, T> => new ExecJob(JobRef.coreOf(job), session, runner)

/** Why the program's output may not be all; `undefined` if it is, since the program has ended. */
function whyCutOff({ result }: JobCore<unknown, VmError>): VmError | undefined {
  if (result === undefined || result.isOk()) return undefined
  const { error } = result
  return ['PROGRAM_FAILED', 'JOB_CANCELLED', 'TIMEOUT'].includes(error.code) ? undefined : error
}

/** For a job of the host that may be that of a program. */
export const followedSession = (): ProgramSession<string> => new ProgramSession({ stdin: 'pipe' }, asText)

/** The value of a job of the host that was followed: the result of a program if it is one. */
export const outcomeOf = (session: ProgramSession<string>, outcome: unknown): unknown =>
  session.hasBegun ? session.result(v.parse(endSchema, outcome)) : outcome
