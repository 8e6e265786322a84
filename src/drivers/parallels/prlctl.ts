import { basename, dirname, join } from 'node:path'
import { ProtocolError } from '../../errors.js'
import { jsonIn } from './json-output.js'
import { failureOf, ParallelsFailure } from './parallels-failure.js'
import type { Outcome, ProgramRunner, RunOptions } from './program-runner.js'
import { argumentOf } from './vm-id.js'
import { vmInfosOf, type VmInfo } from './vm-info.js'

export type Flavour = 'desktop' | 'virtuozzo'

export interface PrlctlOptions {
  /** A path, or a name that is looked up where programs are. */
  readonly prlctl: string
  /** How long a question may take, and how long a change, in milliseconds. */
  readonly queryTimeoutMs: number
  readonly changeTimeoutMs: number
  /** How often the VMs are listed in any case, since the host may tell late of what happens, or never. */
  readonly listEveryMs: number
}

/** How often a question is put again where the answer is cut off or garbled. */
const attempts = 3

/** The programs of Parallels, as functions. They throw a `ParallelsFailure`. */
export class Prlctl {
  readonly #runner: ProgramRunner
  readonly #options: PrlctlOptions
  /** Known once the host has told of itself. */
  flavour: Flavour = 'desktop'

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

  /** Every VM of the host. */
  async list(): Promise<VmInfo[]> {
    return vmInfosOf(await this.#json('array', [this.program, 'list', '-a', '-i', '-j', ...this.#onlyVms]))
  }

  /** One VM; with `isFull`, also what its guest tells. */
  async info(vm: string, { isFull = false } = {}): Promise<VmInfo> {
    const words = ['list', '-i', ...(isFull ? ['-f'] : []), '-j', argumentOf(vm)]
    const info = vmInfosOf(await this.#json('array', [this.program, ...words])).find(({ record }) => record.id === vm)
    if (info !== undefined) return info
    throw new ParallelsFailure('vm-not-found', {
      driver: 'parallels',
      message: `prlctl tells of no VM ${argumentOf(vm)}`,
    })
  }

  /** The rows of the short list: where Virtuozzo tells the addresses of a VM. */
  async row(vm: string): Promise<unknown> {
    return await this.#json('array', [this.program, 'list', '-a', '-f', '-j', argumentOf(vm)])
  }

  /** `prlsrvctl`, which is beside `prlctl`. */
  async service(...words: readonly string[]): Promise<unknown> {
    const { program } = this
    const service = basename(program) === program ? 'prlsrvctl' : join(dirname(program), 'prlsrvctl')
    return await this.#json('object', [service, ...words])
  }

  /** A question whose answer is JSON; `undefined` where there is nothing to tell. */
  async ask(kind: 'array' | 'object', ...words: readonly string[]): Promise<unknown> {
    return await this.#json(kind, [this.program, ...words], true)
  }

  /** A question whose answer is text. */
  async read(...words: readonly string[]): Promise<string> {
    return (
      await this.#succeed([this.program, ...words], { timeoutMs: this.#options.queryTimeoutMs })
    ).stdout.toString()
  }

  /** Makes the host do something; answers what it printed. */
  async change(words: readonly string[], options: Partial<RunOptions> = {}): Promise<string> {
    const { stdout } = await this.#succeed([this.program, ...words], { timeoutMs: this.changeTimeoutMs, ...options })
    return stdout.toString()
  }

  /** Runs it, and leaves what became of it to the caller. */
  async run(words: readonly string[], options: Partial<RunOptions> = {}): Promise<Outcome> {
    return await this.#runner.run([this.program, ...words], { timeoutMs: this.changeTimeoutMs, ...options })
  }

  /** Containers are none of our business. */
  get #onlyVms(): readonly string[] {
    return this.flavour === 'virtuozzo' ? ['--vmtype', 'vm'] : []
  }

  async #succeed(argv: readonly string[], options: RunOptions): Promise<Outcome> {
    const outcome = await this.#runner.run(argv, options)
    const failure = failureOf(outcome, basename(argv[0] ?? ''))
    if (failure !== undefined) throw failure
    return outcome
  }

  async #json(kind: 'array' | 'object', argv: readonly string[], mayBeEmpty = false): Promise<unknown> {
    let output = ''
    for (let attempt = 1; attempt <= attempts; attempt += 1) {
      const { stdout } = await this.#succeed(argv, { timeoutMs: this.#options.queryTimeoutMs })
      output = stdout.toString()
      const json = jsonIn(output, kind)
      if (json !== undefined) return json
      if (mayBeEmpty && output.trim() === '') return undefined
      // Some editions answer with a sentence, and yet succeed.
      if (/not available in this edition/i.test(output)) {
        throw new ParallelsFailure('edition', { driver: 'parallels', message: output.trim().slice(0, 1000) })
      }
    }
    const message = output.trim().slice(0, 200)
    throw new ProtocolError({
      reason: `prlctl ${argv.slice(1).join(' ')} answered with something else than JSON`,
      hint: 'Try the command yourself, and report what it prints.',
      native: { driver: 'parallels', message },
    })
  }
}
