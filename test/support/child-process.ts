import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'

/** A TypeScript program of test/support in a process of its own, and the lines that it prints. */
export class Child implements AsyncDisposable {
  readonly process: ChildProcess
  readonly #lines: Interface
  readonly #seen: string[] = []
  #errors = ''
  #wake: (() => void) | undefined

  /** @param wrapper a program that runs the rest of its arguments, with its own arguments */
  constructor(program: string, args: readonly string[], wrapper: readonly string[] = []) {
    const [command = '', ...words] = [
      ...wrapper,
      ...[process.execPath, '--import', 'tsx', join(import.meta.dirname, program)],
      ...args,
    ]
    this.process = spawn(command, words, { stdio: ['pipe', 'pipe', 'pipe'] })
    this.process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text
    })
    this.#lines = createInterface({ input: this.process.stdout as NodeJS.ReadableStream })
    this.#lines.on('line', (line) => {
      this.#seen.push(line)
      this.#wake?.()
    })
    this.process.once('exit', () => this.#wake?.())
  }

  get pid(): number {
    if (this.process.pid === undefined) throw new Error('the process was not started')
    return this.process.pid
  }

  /** What it has printed so far. */
  get lines(): readonly string[] {
    return this.#seen
  }

  /** Waits until it has printed the line. */
  async printed(line: string): Promise<void> {
    while (!this.#seen.includes(line)) {
      if (this.process.exitCode !== null || this.process.signalCode !== null) {
        throw new Error(`the process ended without printing ${line}: ${this.#seen.join(', ')} ${this.#errors}`)
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Waits until it has ended by itself. */
  async ended(): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) await once(this.process, 'close')
  }

  send(line: string): void {
    this.process.stdin?.write(`${line}\n`)
  }

  /** Kills the process, as the kernel's OOM killer does. */
  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    // Not its exit: the process may be the wrapper.
    const exited = once(this.process, 'close')
    this.process.kill('SIGKILL')
    await exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }
}
