import { basename, dirname, join } from 'node:path'
import { ProtocolError } from '../../errors.js'
import { jsonIn } from './json-output.js'
import { failureOf, ParallelsFailure } from './parallels-failure.js'
import type { Outcome, ProgramRunner, RunOptions } from './program-runner.js'
import { argumentOf } from './vm-id.js'
import { vmInfosOf, type VmInfo } from './vm-info.js'

export type Flavour = 'desktop' | 'virtuozzo'

export interface PrlctlOptions {
  /** A path, or a name that is looked up in the PATH. */
  readonly prlctl: string
  /** Longest times for a query and for a change, in milliseconds. */
  readonly queryTimeoutMs: number
  readonly changeTimeoutMs: number
  /** Interval in milliseconds between two lists of the VMs: events may come late, or never. */
  readonly listEveryMs: number
}

/** How often a query is tried whose answer is truncated or garbled. */
const attempts = 3

/** The programs of Parallels, as functions. They throw a `ParallelsFailure`. */
export class Prlctl {
  readonly #runner: ProgramRunner
  readonly #options: PrlctlOptions
  /** Set when the driver connects. */
  flavour: Flavour = 'desktop'
  /** True if it can send keys to a VM; set when the driver connects. */
  sendsKeys = false

  constructor(runner: ProgramRunner, options: PrlctlOptions) {
    this.#runner = runner
    this.#options = options
  }

  get program(): string {
    return this.#options.prlctl
  }

  get changeTimeoutMs(): number {
    return this.#options.changeTimeoutMs
  }

  get listEveryMs(): number {
    return this.#options.listEveryMs
  }

  /** Every VM and every template of the host, which need a list each. */
  async list(): Promise<VmInfo[]> {
    const words = ['list', '-a', '-i', '-j', ...this.#onlyVms]
    const lists = await Promise.all(
      [words, [...words, '--template']].map(async (list) =>
        vmInfosOf(await this.#json('array', [this.program, ...list])),
      ),
    )
    return [...new Map(lists.flat().map((info) => [info.record.id, info])).values()]
  }

  /** One VM; with `isFull`, also what the guest reports. */
  async info(vm: string, { isFull = false } = {}): Promise<VmInfo> {
    const words = ['list', '-i', ...(isFull ? ['-f'] : []), '-j', argumentOf(vm)]
    const info = vmInfosOf(await this.#json('array', [this.program, ...words])).find(({ record }) => record.id === vm)
    if (info !== undefined) return info
    throw new ParallelsFailure('vm-not-found', {
      driver: 'parallels',
      message: `prlctl tells of no VM ${argumentOf(vm)}`,
    })
  }

  /** A VM's rows of the short list, where Virtuozzo lists its addresses. */
  async row(vm: string): Promise<unknown> {
    return await this.#json('array', [this.program, 'list', '-a', '-f', '-j', argumentOf(vm)])
  }

  /** Runs `prlsrvctl`, from the folder of `prlctl`. */
  async service(...words: readonly string[]): Promise<unknown> {
    const { program } = this
    const service = basename(program) === program ? 'prlsrvctl' : join(dirname(program), 'prlsrvctl')
    return await this.#json('object', [service, ...words])
  }

  /** The snapshots of a VM: JSON on Parallels Desktop, a table on Virtuozzo, empty if there are none. */
  async snapshots(vm: string): Promise<string> {
    const isDesktop = this.flavour === 'desktop'
    const isWhole = isDesktop
      ? (output: string): boolean => output.trim() === '' || jsonIn(output, 'object') !== undefined
      : (output: string): boolean => output === '' || output.endsWith('\n')
    return await this.#ask([this.program, 'snapshot-list', argumentOf(vm), ...(isDesktop ? ['-j'] : [])], isWhole)
  }

  /** A query whose answer is text. */
  async read(...words: readonly string[]): Promise<string> {
    return (
      await this.#succeed([this.program, ...words], { timeoutMs: this.#options.queryTimeoutMs })
    ).stdout.toString()
  }

  /** Runs a command that changes something, and answers its output. */
  async change(words: readonly string[], options: Partial<RunOptions> = {}): Promise<string> {
    const { stdout } = await this.#succeed([this.program, ...words], { timeoutMs: this.changeTimeoutMs, ...options })
    return stdout.toString()
  }

  /** Runs a command without judging its outcome. */
  async run(words: readonly string[], options: Partial<RunOptions> = {}): Promise<Outcome> {
    return await this.#runner.run([this.program, ...words], { timeoutMs: this.changeTimeoutMs, ...options })
  }

  /** True if this version has the command: without arguments, a known command prints its usage. */
  async knows(command: string): Promise<boolean> {
    const { stderr } = await this.run([command], { timeoutMs: this.#options.queryTimeoutMs })
    return /invalid usage/i.test(stderr.toString())
  }

  /** Leaves out containers. */
  get #onlyVms(): readonly string[] {
    return this.flavour === 'virtuozzo' ? ['--vmtype', 'vm'] : []
  }

  async #succeed(argv: readonly string[], options: RunOptions): Promise<Outcome> {
    const outcome = await this.#runner.run(argv, options)
    const failure = failureOf(outcome, basename(argv[0] ?? ''))
    if (failure !== undefined) throw failure
    return outcome
  }

  async #json(kind: 'array' | 'object', argv: readonly string[]): Promise<unknown> {
    let json: unknown
    await this.#ask(argv, (output) => {
      json = jsonIn(output, kind)
      return json !== undefined
    })
    return json
  }

  /** Asks again if the answer is incomplete. */
  async #ask(argv: readonly string[], isWhole: (output: string) => boolean): Promise<string> {
    let output = ''
    for (let attempt = 1; attempt <= attempts; attempt += 1) {
      const { stdout } = await this.#succeed(argv, { timeoutMs: this.#options.queryTimeoutMs })
      output = stdout.toString()
      if (isWhole(output)) return output
    }
    // Some editions answer with a sentence, and exit with 0.
    if (/not available in this edition/i.test(output)) {
      throw new ParallelsFailure('edition', { driver: 'parallels', message: output.trim().slice(0, 1000) })
    }
    const message = output.trim().slice(0, 200)
    throw new ProtocolError({
      reason: `the answer of ${basename(argv[0] ?? '')} ${argv.slice(1).join(' ')} is cut off, or is not JSON`,
      hint: 'Try the command yourself, and report what it prints.',
      native: { driver: 'parallels', message },
    })
  }
}
