import { spawn } from 'node:child_process'
import { QemuProgramError } from '../qemu-errors.js'

/** Output beyond this size is dropped. */
const maxOutputBytes = 64 * 1024

export interface ProgramOptions {
  readonly signal?: AbortSignal | undefined
  /** From 0 to 100, for the programs that were given `-p`. */
  readonly onProgress?: ((percent: number) => void) | undefined
}

/** Runs a program of QEMU to its end. A failure rejects with its output, an abort with the signal's reason. */
export async function runProgram(
  path: string,
  args: readonly string[],
  { signal, onProgress }: ProgramOptions = {},
): Promise<string> {
  signal?.throwIfAborted()
  const child = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const stop = (): void => void child.kill('SIGTERM')
  signal?.addEventListener('abort', stop)
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      if (output[name].length < maxOutputBytes) output[name] += text
      const percent = /\((\d+(?:\.\d+)?)\/100%\)/.exec(text)?.[1]
      if (percent !== undefined) onProgress?.(Number(percent))
    })
  }
  try {
    const exit = await new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, bySignal) => {
        resolve(code ?? bySignal)
      })
    })
    if (exit === 0) return output.stdout
    signal?.throwIfAborted()
    throw new QemuProgramError(path, exit, output.stderr)
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}
