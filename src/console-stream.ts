import { Duplex } from 'node:stream'
import * as v from 'valibot'
import { ConsoleText } from './console-text.js'
import { HostError, JobCancelledError, VmError } from './errors.js'
import { invalidState } from './errors/state.js'
import { validate } from './errors/validate.js'
import { hostTask } from './driver/host-task.js'
import type { Task } from './driver/task.js'
import { CallerContext } from './job/caller-context.js'
import type { JobOptions } from './job/job-options.js'
import type { JobRunner } from './job/job-runner.js'
import type { Job } from './job/job.js'
import type { VmState } from './model/vm-state.js'
import type { ConsoleWaitForErrors } from './operation-errors.js'
import { operations, type JobTarget } from './operations.js'

const patternSchema = v.union(
  [v.pipe(v.string(), v.minLength(1)), v.instance(RegExp)],
  'must be a text that is not empty, or a regular expression',
)

/** The VM of a console. */
interface ConsoleOfVm {
  readonly target: JobTarget
  readonly runner: JobRunner
  readonly getState: () => Promise<VmState>
}

/**
 * The serial console of a VM, usable at once: what is written waits until the host has opened it, and a console that can't
 * be opened is destroyed with the typed error. Backpressure goes through in both directions.
 *
 * @example
 * ```ts
 * import type { Vm } from 'awaitvm'
 *
 * export async function logIn(vm: Vm, password: string): Promise<void> {
 *   const console = vm.console()
 *   await console.waitFor(/login: $/, { timeoutMs: 120_000 }).unwrap()
 *   console.write('root\n')
 *   await console.waitFor('Password: ', { timeoutMs: 10_000 }).unwrap()
 *   console.write(`${password}\n`)
 *   await console.waitFor('# ', { timeoutMs: 30_000 }).unwrap()
 * }
 * ```
 */
export class ConsoleStream extends Duplex {
  readonly #opening: Promise<Duplex>
  readonly #vm: ConsoleOfVm
  readonly #text = new ConsoleText()
  /** Set once the guest prints nothing more here: with the error of the console, if it failed. */
  #end: { readonly error?: Error | undefined } | undefined

  /** @internal */
  constructor(opening: Promise<Duplex>, vm: ConsoleOfVm) {
    super({ allowHalfOpen: false })
    this.#opening = opening
    this.#vm = vm
    opening.then(
      (host) => {
        this.#join(host)
      },
      (error: unknown) => this.#fail(error),
    )
  }

  /**
   * Waits until the guest has printed a text, or something that a regular expression matches, since the mark: at first, that is the
   * beginning of the console, so that a prompt is found that was printed before. The mark then moves behind the match. Of what was
   * printed since the mark, the last 262,144 characters are kept. Waits without limit by default.
   *
   * A console that nobody reads is read, and what it prints is dropped: to see it as well, read or pipe the console before.
   *
   * The value is the match, as of `RegExp.exec`, in the text since the mark. A console that ends before fails the job: with an
   * `InvalidStateError` if the VM does not run any more.
   */
  waitFor(pattern: string | RegExp, options?: JobOptions): Job<RegExpExecArray, ConsoleWaitForErrors> {
    const { target, runner } = this.#vm
    const valid = validate(patternSchema, pattern, 'pattern')
    if (valid.isErr()) return runner.refuse('console.waitFor', target, valid.error)
    const expression = expressionOf(valid.value)
    return runner.runAside({
      operation: 'console.waitFor',
      target,
      options,
      work: (task) => this.#waitFor(expression, task),
    })
  }

  /** Moves the mark to now: `waitFor` finds only what the guest prints from now on. */
  mark(): void {
    this.#text.mark()
  }

  /** @internal */
  override _read(): void {
    this.#withHost((host) => host.resume())
  }

  /** @internal */
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#withHost((host) => {
      // An error destroys this stream, with its own words.
      host.write(chunk, (error) => (error == null ? done() : this.#fail(error)))
    })
  }

  /** @internal */
  override _final(done: (error?: Error | null) => void): void {
    this.#withHost((host) => {
      host.end(() => {
        done()
      })
    })
  }

  /** @internal */
  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#withHost((host) => host.destroy())
    this.#ended(error ?? undefined)
    done(error)
  }

  #join(host: Duplex): void {
    // Listeners of the caller run in the caller's async context, not in that of the host's stream.
    const context = new CallerContext()
    const on = (event: string, listener: (value: unknown) => void): void => {
      host.on(event, (value: unknown) => {
        context.runInAsyncScope(listener, undefined, value)
      })
    }
    on('data', (chunk) => {
      this.#text.push(chunk as Uint8Array)
      if (!this.push(chunk)) host.pause()
    })
    on('end', () => {
      this.#ended(undefined)
      this.push(null)
    })
    on('error', (error) => this.#fail(error))
    on('close', () => {
      if (!host.readableEnded) this.#fail(new Error('the console was closed by its host'))
    })
    if (this.destroyed) host.destroy()
  }

  async #waitFor(pattern: RegExp, task: Task): Promise<RegExpExecArray> {
    const { signal } = task
    if (this.readableFlowing === null && this.listenerCount('readable') === 0) this.resume()
    const match = await new Promise<RegExpExecArray | undefined>((resolve, reject) => {
      const check = (): void => {
        const found = this.#text.take(pattern)
        if (found === undefined && this.#end === undefined) return
        settle()
        resolve(found)
      }
      const onAbort = (): void => {
        settle()
        reject(new JobCancelledError({ reason: 'the wait was cancelled', cause: signal.reason }))
      }
      const endOfListening = this.#text.listen(check)
      const settle = (): void => {
        endOfListening()
        signal.removeEventListener('abort', onAbort)
      }
      signal.addEventListener('abort', onAbort)
      check()
    })
    return match ?? (await this.#explainEnd(pattern, task))
  }

  async #explainEnd(pattern: RegExp, task: Task): Promise<never> {
    const error = this.#end?.error
    if (error !== undefined) throw error
    const reason = `its console ended before ${String(pattern)} was printed`
    const state = await this.#vm.getState()
    const { from } = operations['vm.console']
    const isOn = from.some((possible) => possible === state)
    if (!isOn) throw invalidState(state, from, { reason: `${reason}, and it is ${state}` })
    // The VM has its console still: this one was closed here.
    const closed = new JobCancelledError({ reason: `${reason}: it was closed` })
    hostTask(task).noteCancel(closed.reason)
    throw closed
  }

  #ended(error: Error | undefined): void {
    this.#end ??= { error }
    this.#text.tell()
  }

  #fail(error: unknown): void {
    if (!this.destroyed) this.destroy(this.#explain(error))
  }

  #explain(error: unknown): VmError {
    const message = error instanceof Error ? error.message : String(error)
    const native = { driver: 'console', message }
    const typed = error instanceof VmError ? error : new HostError({ reason: message, native, cause: error })
    VmError.locate(typed, 'vm.console', this.#vm.target)
    return typed
  }

  /** Once the console is open; one that can't be opened has destroyed this stream already. */
  #withHost(action: (host: Duplex) => void): void {
    this.#opening.then(action, () => undefined)
  }
}

/** A copy without state: `lastIndex` would move the search. */
const expressionOf = (pattern: string | RegExp): RegExp =>
  typeof pattern === 'string'
    ? new RegExp(pattern.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    : new RegExp(pattern.source, pattern.flags.replace('g', ''))
