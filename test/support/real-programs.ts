import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import { buffer } from 'node:stream/consumers'
import type { SimulatedExecResult, SimulatedProgram } from 'awaitvm/testing'

/** Runs the programs of a simulated guest on this machine. */
export class RealPrograms {
  readonly #running = new Set<Promise<unknown>>()
  readonly #dying = new Set<Promise<unknown>>()

  async run({ argv, options, signal }: SimulatedProgram): Promise<SimulatedExecResult | undefined> {
    // A program that is asked for later must really have ended.
    await Promise.all(this.#dying)
    const [file = '', ...args] = argv
    const child = spawn(file, args, { cwd: options.cwd, env: { ...process.env, ...options.env } })
    const gone = once(child, 'close').catch(() => undefined)
    this.#running.add(gone)
    const stop = (): void => {
      child.kill('SIGKILL')
      this.#dying.add(gone)
    }
    signal.addEventListener('abort', stop)
    try {
      return await resultOf(child, options.input)
    } finally {
      signal.removeEventListener('abort', stop)
      await gone
      this.#running.delete(gone)
      this.#dying.delete(gone)
    }
  }

  /** Waits until all have ended. */
  async ended(): Promise<void> {
    await Promise.all(this.#running)
  }
}

async function resultOf(
  child: ChildProcess & { stdout: NodeJS.ReadableStream; stderr: NodeJS.ReadableStream; stdin: NodeJS.WritableStream },
  input: string | Uint8Array | undefined,
): Promise<SimulatedExecResult | undefined> {
  // A program need not read its input.
  child.stdin.on('error', () => undefined)
  child.stdin.end(input ?? '')
  try {
    const [stdout, stderr, [code, name]] = (await Promise.all([
      buffer(child.stdout),
      buffer(child.stderr),
      once(child, 'close'),
    ])) as [Buffer, Buffer, [number | null, NodeJS.Signals | null]]
    return name === null
      ? { exitCode: code ?? undefined, stdout, stderr }
      : { signal: constants.signals[name], stdout, stderr }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
