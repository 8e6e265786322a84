import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { Duplex } from 'node:stream'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { errorCode } from '../../src/errors/native.js'
import { GuestPort } from '../../src/drivers/embedded/guest-port/guest-port.js'
import { guestProgram } from '../../src/drivers/embedded/guest-program/guest-program.js'
import type { ProgramControl, ProgramEnd } from '../../src/driver/program-io.js'
import type { GuestProgram } from '../../src/guest/guest-way.js'
import { wantedHosts } from './optional-tool.js'

/** The descriptor of the line in the guest program. */
const lineDescriptor = 3

/** A program that runs by the guest program, and what is known of it so far. */
export class StartedProgram {
  readonly end: Promise<ProgramEnd>
  readonly stop = new AbortController()
  readonly control: Promise<ProgramControl>
  stdout = ''
  stderr = ''
  bytes = 0
  #wake: () => void = () => undefined

  constructor(
    port: GuestPort,
    program: GuestProgram,
    {
      input,
      onOutput,
    }: { readonly input?: AsyncIterable<Uint8Array>; readonly onOutput?: () => Promise<void> | undefined } = {},
  ) {
    let begin: (control: ProgramControl) => void
    this.control = new Promise((resolve) => (begin = resolve))
    this.end = port.run(
      program,
      {
        input,
        output: (stream, bytes) => {
          this[stream] += Buffer.from(bytes).toString('latin1')
          this.bytes += bytes.length
          this.#wake()
          return onOutput?.()
        },
        begun: (control) => {
          begin(control)
        },
      },
      this.stop.signal,
    )
    this.end.catch(() => undefined)
  }

  /** Settles once the program has written the text. */
  async untilOutput(text: string): Promise<void> {
    while (!this.stdout.includes(text)) await new Promise<void>((resolve) => (this.#wake = resolve))
  }
}

/** The guest program as a process of this machine, with a socket in place of the serial port. */
export class NativeGuestProgram implements AsyncDisposable {
  readonly port: GuestPort
  readonly #process: ChildProcess
  readonly #folder: string

  private constructor(folder: string, child: ChildProcess, line: Duplex) {
    this.#folder = folder
    this.#process = child
    this.port = new GuestPort({
      send: (bytes) =>
        new Promise((resolve) => {
          line.write(bytes, () => {
            resolve()
          })
        }),
      isRunning: () => true,
    })
    line.on('data', (bytes: Buffer) => {
      this.port.receive(bytes)
    })
  }

  /** Why it can't run here. */
  static missing(): string | undefined {
    if (wantedHosts === 'none') return 'AWAITVM_TEST_HOSTS=none skips what needs other programs than Node'
    if (process.platform !== 'linux' || process.arch !== 'x64') return 'programs for i386 run on Linux on x86 only'
    const { folder, file } = written()
    // It ends at once, since there is no such descriptor.
    const { error } = spawnSync(file, ['9'])
    rmSync(folder, { recursive: true })
    return error === undefined ? undefined : `this system runs no programs for i386: ${error.message}`
  }

  static start(): NativeGuestProgram {
    const { folder, file } = written()
    const child = spawn(file, [String(lineDescriptor)], { stdio: ['ignore', 'ignore', 'inherit', 'pipe'] })
    return new NativeGuestProgram(folder, child, child.stdio[lineDescriptor] as Duplex)
  }

  run(program: GuestProgram, options?: ConstructorParameters<typeof StartedProgram>[2]): StartedProgram {
    return new StartedProgram(this.port, program, options)
  }

  sh(script: string, options?: ConstructorParameters<typeof StartedProgram>[2]): StartedProgram {
    return this.run({ argv: ['sh', '-c', script] }, options)
  }

  /** The files that the guest program has open. */
  openFiles(): readonly string[] {
    return readdirSync(`/proc/${String(this.#process.pid)}/fd`)
  }

  /** The processes that the guest program has as children. */
  children(): readonly number[] {
    return childrenOf(this.#process.pid ?? 0)
  }

  /** Ends it, and what programs have left behind, as the end of a guest does. */
  async [Symbol.asyncDispose](): Promise<void> {
    const left = this.children().flatMap((keeper) => [...childrenOf(keeper)])
    for (const pid of left) kill(pid)
    const gone = new Promise((resolve) => this.#process.once('exit', resolve))
    for (const stream of this.#process.stdio) stream?.destroy()
    await gone
    rmSync(this.#folder, { recursive: true })
  }
}

/** The children of a process; nothing if it has ended. */
function childrenOf(pid: number): readonly number[] {
  let children: string
  try {
    children = readFileSync(`/proc/${String(pid)}/task/${String(pid)}/children`, 'utf8')
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return []
    throw error
  }
  return children.trim().split(' ').filter(Boolean).map(Number)
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    // It has ended by itself.
    if (errorCode(error) !== 'ESRCH') throw error
  }
}

/** Settles once the condition holds; it is looked at again with each turn of the event loop. */
export async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5))
}

/** Whether a process is there, and no zombie. */
export const isAlive = (pid: number): boolean => {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))
  } catch {
    return false
  }
}

const written = (): { readonly folder: string; readonly file: string } => {
  const folder = mkdtempSync(join(tmpdir(), 'awaitvm-guest-program-'))
  const file = join(folder, 'awaitvm-guest')
  writeFileSync(file, guestProgram(), { mode: 0o755 })
  return { folder, file }
}
