import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { join } from 'node:path'
import { within } from '../../../src/testing/conformance/deadline.js'

/** Built by `npm test`. */
const program = join(import.meta.dirname, '../../../dist/cli.js')

export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

interface Settings {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
}

/** A running command: what it said so far, and how it ended. */
export class CliProcess implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #closed: Promise<Outcome>
  readonly #checks = new Set<() => void>()
  #stdout = ''
  #stderr = ''

  private constructor(command: string, args: readonly string[], { cwd, env }: Settings) {
    const { CI: _ci, NO_COLOR: _noColor, INIT_CWD: _initCwd, ...inherited } = process.env
    this.#child = spawn(command, args, { cwd, env: { ...inherited, ...env } })
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text
      for (const check of this.#checks) check()
    })
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text
    })
    this.#closed = new Promise((resolve) => {
      this.#child.once('close', (code) => {
        resolve({ code, stdout: this.#stdout, stderr: this.#stderr })
        for (const check of this.#checks) check()
      })
    })
  }

  static run(args: readonly string[], settings: Settings = {}): CliProcess {
    return new CliProcess(process.execPath, [program, ...args], settings)
  }

  /** Runs on a pseudo-terminal of util-linux's `script`, so that all of its output is on stdout. */
  static onTerminal(args: readonly string[], { env, ...settings }: Settings = {}): CliProcess {
    const command = [process.execPath, program, ...args].map((word) => `'${word}'`).join(' ')
    return new CliProcess('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
      ...settings,
      env: { TERM: 'xterm', ...env },
    })
  }

  /** Waits until stdout has this text. */
  async says(text: string): Promise<void> {
    let check: () => void = () => undefined
    const said = new Promise<void>((resolve, reject) => {
      check = () => {
        if (this.#stdout.includes(text)) resolve()
        else if (this.#child.stdout.closed) reject(new Error(`It ended without printing ${text}: ${this.#stdout}`))
      }
    })
    this.#checks.add(check)
    check()
    try {
      await within(said, () => `${JSON.stringify(text)} in ${JSON.stringify(this.#stdout + this.#stderr)}`, deadlineMs)
    } finally {
      this.#checks.delete(check)
    }
  }

  type(text: string): void {
    this.#child.stdin.write(text)
  }

  endInput(): void {
    this.#child.stdin.end()
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  /** Waits until it ends by itself. */
  async outcome(): Promise<Outcome> {
    return await within(this.#closed, () => `its end: ${JSON.stringify(this.#stdout + this.#stderr)}`, deadlineMs)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#closed
  }
}

/** Linux may take a minute to boot on a busy machine. */
const deadlineMs = 200_000
