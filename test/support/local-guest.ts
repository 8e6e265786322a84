import { spawn, execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import type { Writable } from 'node:stream'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { OperationCode, SignalName } from 'awaitvm'
import type { GuestProgram, GuestWay, ProgramEnd, ProgramIo, ProgressUpdate, Task } from 'awaitvm/driver'

/** The shells that guests have. */
export const guestShells = ['dash', 'bash', 'busybox'] as const

export type GuestShell = (typeof guestShells)[number]

let busyboxTools: string | undefined

/** A folder with a link to busybox for each of its programs, until this process ends. */
function busyboxFolder(): string {
  if (busyboxTools !== undefined) return busyboxTools
  const folder = mkdtempSync(join(tmpdir(), 'awaitvm-busybox-'))
  // Other users run them, too.
  chmodSync(folder, 0o755)
  process.once('exit', () => {
    rmSync(folder, { recursive: true })
  })
  const busybox = execFileSync('sh', ['-c', 'command -v busybox'], { encoding: 'utf8' }).trim()
  for (const name of execFileSync(busybox, ['--list'], { encoding: 'utf8' }).split('\n')) {
    if (name !== '') symlinkSync(busybox, join(folder, name))
  }
  busyboxTools = folder
  return folder
}

export interface LocalWayOptions {
  /** Loses these bytes of the input of each program. */
  readonly loses?: { readonly from: number; readonly to: number }
  /** Looked for before the programs of the guest. */
  readonly tools?: string
  /** The folder that programs are started in. */
  readonly cwd?: string
  /** Is put in the place of `/run` in scripts. */
  readonly run?: string
  /** Called with each program before it runs. */
  readonly onRun?: (program: GuestProgram) => void
}

/** A way into this machine in place of a guest. Its `/bin/sh` and its programs are those of the shell's system. */
export class LocalWay implements GuestWay {
  readonly vm = 'local'
  readonly driver = 'local'
  readonly #shell: GuestShell
  readonly #options: LocalWayOptions
  /** The programs that were run. */
  readonly programs: GuestProgram[] = []

  constructor(shell: GuestShell, options: LocalWayOptions = {}) {
    this.#shell = shell
    this.#options = options
  }

  async run(program: GuestProgram, io: ProgramIo, signal: AbortSignal): Promise<ProgramEnd> {
    signal.throwIfAborted()
    this.programs.push(program)
    this.#options.onRun?.(program)
    const { run = '/run' } = this.#options
    const [name = '', ...args] = program.argv.map((word) => word.replaceAll('/run/', `${run}/`))
    const file = name !== '/bin/sh' ? name : this.#shell === 'busybox' ? join(busyboxFolder(), 'sh') : this.#shell
    const folders = this.#shell === 'busybox' ? [busyboxFolder()] : [process.env['PATH'] ?? '']
    const path = [...(this.#options.tools === undefined ? [] : [this.#options.tools]), ...folders].join(delimiter)
    const child = spawn(file, args, {
      detached: true,
      env: { ...process.env, ...program.env, PATH: path },
      cwd: program.cwd ?? this.#options.cwd,
    })
    const kill = (): void => {
      // Its outputs may be read after it has ended.
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
        process.kill(-child.pid, 'SIGKILL')
      }
    }
    const ended = new Promise<ProgramEnd>((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (exitCode, ended) => {
        resolve({ ...(exitCode !== null && { exitCode }), ...(ended !== null && { signal: ended as SignalName }) })
      })
    })
    io.begun({ kill: async () => child.kill() })
    // A program may end before it has read its input.
    child.stdin.on('error', () => undefined)
    const input = io.input?.[Symbol.asyncIterator]()
    const pump = async (): Promise<void> => {
      let at = 0
      for (let next = await input?.next(); next?.done === false; next = await input?.next()) {
        const bytes = next.value
        const { from, to } = this.#options.loses ?? { from: 0, to: 0 }
        const kept = Buffer.concat([
          bytes.subarray(0, Math.max(0, from - at)),
          bytes.subarray(Math.min(bytes.byteLength, Math.max(0, to - at))),
        ])
        at += bytes.byteLength
        if (child.stdin.destroyed) return
        if (!child.stdin.write(from === to ? bytes : kept)) await drained(child.stdin)
      }
      child.stdin.end()
    }
    const pumped = pump()
    const read = async (stream: 'stdout' | 'stderr'): Promise<void> => {
      for await (const bytes of child[stream]) await io.output(stream, bytes as Uint8Array)
    }
    signal.addEventListener('abort', kill)
    try {
      const [end] = await Promise.all([ended, read('stdout'), read('stderr')])
      signal.throwIfAborted()
      return end
    } finally {
      signal.removeEventListener('abort', kill)
      await Promise.race([pumped, input?.return?.()])
    }
  }
}

const drained = (stream: Writable): Promise<void> =>
  new Promise((resolve) => {
    if (stream.destroyed) resolve()
    stream.once('drain', resolve)
    stream.once('close', resolve)
  })

/** A task for an operation that is called without a job. */
export interface LooseTask extends Task {
  readonly reported: ProgressUpdate[]
  cancel(reason: unknown): void
}

export function looseTask(operation: OperationCode): LooseTask {
  const stop = new AbortController()
  const reported: ProgressUpdate[] = []
  return {
    operation,
    target: undefined,
    signal: stop.signal,
    reported,
    progress: (update) => void reported.push(update),
    cancelWith: () => () => undefined,
    setToken: () => undefined,
    cancel: (reason) => {
      stop.abort(reason)
    },
  }
}
