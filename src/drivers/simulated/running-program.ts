import type { ProgramControl, ProgramEnd, ProgramIo } from '../../driver/program-io.js'
import type { PtySize } from '../../model/exec.js'
import type { SignalName } from '../../model/signal.js'
import {
  checkedOutput,
  checkedResult,
  noSuchProgram,
  type ExecHandler,
  type SimulatedExecResult,
  type SimulatedProgram,
} from './guest-program.js'
import { ProgramUser, type Piece } from './program-user.js'
import { SimulatedStdin } from './simulated-stdin.js'

/** How many bytes of output the host keeps for those who attach later. */
const maxKeptBytes = 16 * 2 ** 20

/** Signals that do nothing to a process that does not catch them, or stop and continue it, by signal(7). */
const harmless: ReadonlySet<SignalName> = new Set([
  'SIGCHLD',
  'SIGCONT',
  'SIGSTOP',
  'SIGTSTP',
  'SIGTTIN',
  'SIGTTOU',
  'SIGURG',
  'SIGWINCH',
])

/** A program before it runs. */
export type ProgramDetails = Pick<SimulatedProgram, 'argv' | 'options'> & {
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
  /** The time of the host, in milliseconds. */
  readonly now: () => number
}

/** A program of a simulated guest, which the host keeps for those who attach to it. */
export class RunningProgram {
  readonly #details: ProgramDetails
  readonly #stopping = new AbortController()
  readonly #stdin = new SimulatedStdin()
  readonly #users = new Set<ProgramUser>()
  readonly #signalListeners = new Set<(signal: SignalName) => void>()
  readonly #resizeListeners = new Set<(size: PtySize) => void>()
  readonly #kept: Piece[] = []
  #keptBytes = 0
  #isTruncated = false
  #hasBegun = false
  #isOver = false
  #hasEndedItself = false
  #end: ((how: ProgramEnd) => void) | undefined
  #fail: ((error: unknown) => void) | undefined

  /** @param io of the connection that runs it */
  constructor(details: ProgramDetails, io: ProgramIo) {
    this.#details = details
    this.attach(io)
    if (io.input === undefined) this.#stdin.end()
  }

  /** Runs it to its end, and until its users have taken its output. */
  async run(handler: ExecHandler | undefined, vm: string): Promise<ProgramEnd> {
    this.#hasBegun = true
    const begunAt = this.#details.now()
    const ended = new Promise<ProgramEnd>((resolve, reject) => {
      this.#end = resolve
      this.#fail = reject
    })
    for (const user of this.#users) this.#tell(user)
    try {
      const end = await Promise.race([this.#perform(handler, vm), ended])
      const durationMs = this.#details.now() - begunAt
      return { ...end, durationMs, isTruncated: this.#isTruncated || end.isTruncated }
    } finally {
      this.stop()
    }
  }

  /** Whether it goes on if the connection that runs it is closed. */
  get isDetached(): boolean {
    return this.#details.options.detached === true
  }

  /** Ends it, since its job is cancelled or its guest has ended. */
  stop(): void {
    this.#isOver = true
    if (!this.#hasEndedItself) this.#stopping.abort()
    this.#stdin.end()
    for (const user of this.#users) user.leaveInput()
  }

  /** Somebody follows it from its first output on, as far as it was kept. */
  attach(io: ProgramIo): ProgramUser {
    const user = new ProgramUser(io)
    this.#users.add(user)
    if (this.#hasBegun) this.#tell(user)
    return user
  }

  leave(user: ProgramUser): void {
    user.leave()
    this.#users.delete(user)
  }

  #tell(user: ProgramUser): void {
    const kill = (signal: SignalName): Promise<boolean> => Promise.resolve(this.#kill(signal))
    const resize = (size: PtySize): Promise<void> => {
      for (const listener of this.#resizeListeners) listener(size)
      return Promise.resolve()
    }
    const control: ProgramControl = this.#details.options.pty === undefined ? { kill } : { kill, resize }
    user.begin(control)
    for (const piece of this.#kept) void user.put(piece)
    if (this.#isOver) user.leaveInput()
    else void user.feed(this.#stdin, (error) => this.#fail?.(error))
  }

  #kill(signal: SignalName): boolean {
    if (this.#isOver) return false
    if (signal === 'SIGKILL' || (this.#signalListeners.size === 0 && !harmless.has(signal))) this.#end?.({ signal })
    else for (const listener of this.#signalListeners) listener(signal)
    return true
  }

  async #perform(handler: ExecHandler | undefined, vm: string): Promise<ProgramEnd> {
    const { argv } = this.#details
    const running = handler?.(this.#program(vm))
    if (running === undefined || !('next' in running)) return await this.#finish((await running) ?? noSuchProgram(argv))
    for (;;) {
      const next = await running.next()
      if (next.done === true) return await this.#finish(next.value ?? {})
      await this.#print(checkedOutput(next.value))
      if (!this.#isOver) continue
      await running.return(undefined)
      return {}
    }
  }

  async #finish(result: SimulatedExecResult): Promise<ProgramEnd> {
    const { exitCode = 0, signal, isTruncated = false, ...output } = checkedResult(result)
    await this.#print(output)
    this.#hasEndedItself = true
    return { ...(signal === undefined ? { exitCode } : { signal }), isTruncated }
  }

  async #print({ stdout, stderr }: Pick<SimulatedExecResult, 'stdout' | 'stderr'>): Promise<void> {
    for (const [stream, data] of [['stdout', stdout] as const, ['stderr', stderr] as const]) {
      const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data
      if (bytes !== undefined && bytes.byteLength > 0 && !this.#isOver) await this.#pass({ stream, bytes })
    }
  }

  async #pass(piece: Piece): Promise<void> {
    this.#keptBytes += piece.bytes.byteLength
    if (this.#keptBytes <= maxKeptBytes) this.#kept.push(piece)
    else this.#isTruncated = true
    await Promise.all([...this.#users].map((user) => user.put(piece)))
  }

  #program(vm: string): SimulatedProgram {
    const { argv, options, sleep } = this.#details
    const { signal } = this.#stopping
    return {
      argv,
      options,
      vm,
      stdin: this.#stdin,
      signal,
      sleep: (ms) => sleep(ms, signal),
      onSignal: (listener) => added(this.#signalListeners, listener),
      onResize: (listener) => added(this.#resizeListeners, listener),
    }
  }
}

function added<T>(set: Set<T>, entry: T): () => void {
  set.add(entry)
  return () => void set.delete(entry)
}
