import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { promisify } from 'node:util'
import { quoteWords } from '../../ssh/quote.js'
import { RemoteReport } from './remote-report.js'
import type { Ending, HostMachine, HostProgram, StartOptions, Transport } from './transport.js'

export interface SshTarget {
  readonly host: string
  readonly user: string | undefined
  readonly port: number | undefined
}

/** Where Parallels Desktop puts its programs, which is not in the PATH that sshd gives. */
const findPrograms = 'PATH="$PATH:/usr/local/bin"; export PATH'

/**
 * Runs a program there, and says on standard error which process it is and how it ended: the exit code of ssh itself may be
 * that of the program or of a broken connection.
 */
const reportingScript = `${findPrograms}; mark=$1; shift
command -v "$1" >/dev/null || { printf '%s missing 0\\n' "$mark" >&2; exit 0; }
exec 3<&0; "$@" <&3 3<&- & pid=$!; exec 3<&-; printf '%s pid %s\\n' "$mark" "$pid" >&2
wait "$pid"; printf '%s end %s\\n' "$mark" "$?" >&2`

const machineScript = `uname -n; uname -m; getconf _NPROCESSORS_ONLN
if [ -r /proc/meminfo ]; then awk '/^MemTotal|^MemAvailable/ { printf "%.0f\\n", $2 * 1024 }' /proc/meminfo
else sysctl -n hw.memsize; vm_stat | awk '/page size of/ { size = $8 } /^Pages free/ { printf "%.0f\\n", $3 * size }'; fi`

/** From being told to end until the connection of a program is cut. */
const patienceMs = 5000

/** How long a short script may take, in milliseconds. */
const scriptTimeoutMs = 60_000

/** A picture of a large screen, as text. */
const maxScriptOutput = 64 * 2 ** 20

const run = promisify(execFile)

/** Runs the programs on another machine, through the ssh client of this one. One connection is shared by all. */
export class SshTransport implements Transport {
  readonly #target: SshTarget
  readonly #config: string | undefined
  readonly #aside = new Set<Promise<unknown>>()
  /** Where the socket of the shared connection is. */
  readonly #folder: string
  #zone: number | undefined

  private constructor(target: SshTarget, config: string | undefined, folder: string) {
    this.#target = target
    this.#config = config
    this.#folder = folder
  }

  static async open(target: SshTarget, config: string | undefined): Promise<SshTransport> {
    return new SshTransport(target, config, await mkdtemp(join(tmpdir(), 'awaitvm-')))
  }

  start(argv: readonly string[], { hasInput, isLive = false }: StartOptions): HostProgram {
    return isLive ? this.#startLive(argv) : this.#startReporting(argv, hasInput)
  }

  async describe(): Promise<HostMachine> {
    const [hostName = '', architecture = '', cpus, memory, free] = (await this.#script(machineScript)).split('\n')
    const mebibytes = (bytes: string | undefined): number => Math.floor(Number(bytes ?? 0) / 2 ** 20)
    return {
      hostName,
      architecture,
      cpus: Number(cpus),
      memoryMiB: mebibytes(memory),
      freeMemoryMiB: Math.min(mebibytes(free), mebibytes(memory)),
    }
  }

  async zone(): Promise<number> {
    if (this.#zone === undefined) {
      const [, sign, hours, minutes] = /^([+-])(\d\d)(\d\d)/.exec(await this.#script('date +%z')) ?? []
      this.#zone = (sign === '-' ? -1 : 1) * (60 * Number(hours ?? 0) + Number(minutes ?? 0))
    }
    return this.#zone
  }

  async isReadableFile(path: string): Promise<boolean> {
    return (await this.#script('if [ -f "$1" ] && [ -r "$1" ]; then echo yes; fi', path)).startsWith('yes')
  }

  async takeFile(path: string): Promise<Uint8Array> {
    return Buffer.from(await this.#script('base64 <"$1"; rm -f "$1"', path), 'base64')
  }

  async removeFile(path: string): Promise<void> {
    await this.#script('rm -f "$1"', path)
  }

  temporaryPath(suffix: string): string {
    return `/tmp/awaitvm-${randomUUID()}${suffix}`
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#aside)
    // There may be no connection any more, which is all that is wanted.
    const leaving = run('ssh', this.#words('-O', 'exit', '--', this.#target.host), { timeout: patienceMs })
    await Promise.allSettled([leaving])
    await rm(this.#folder, { recursive: true, force: true })
  }

  #startReporting(argv: readonly string[], hasInput: boolean): HostProgram {
    const report = new RemoteReport(`awaitvm-${randomUUID()}`)
    const command = quoteWords(['sh', '-c', reportingScript, 'sh', report.mark, ...argv])
    const child = spawn('ssh', this.#words('-T', '--', this.#target.host, command), { stdio: 'pipe' })
    const stderr = new PassThrough()
    child.stderr.pipe(report).pipe(stderr)
    if (!hasInput) child.stdin.end()
    const ended = endOf(child).then((ending) => report.ending(ending))
    const signal = (name: 'INT' | 'KILL'): void => {
      report.whenBegun((pid) => {
        report.sent.add(name)
        this.#onSide(this.#script('kill -"$1" "$2"', name, String(pid)))
      })
    }
    return {
      stdin: child.stdin,
      stdout: child.stdout,
      stderr,
      ended,
      interrupt: () => {
        signal('INT')
      },
      kill: () => {
        signal('KILL')
        const timer = setTimeout(() => child.kill('SIGKILL'), report.hasBegun ? patienceMs : 0)
        void ended.finally(() => {
          clearTimeout(timer)
        })
      },
    }
  }

  /** With a terminal, which makes it print without delay, and hears of it when the connection ends. */
  #startLive(argv: readonly string[]): HostProgram {
    const command = `${findPrograms}; exec ${quoteWords(argv)}`
    const child = spawn('ssh', this.#words('-tt', '--', this.#target.host, command), { stdio: 'pipe' })
    return {
      stdin: child.stdin,
      stdout: child.stdout,
      stderr: child.stderr,
      ended: endOf(child),
      interrupt: () => void child.kill('SIGTERM'),
      kill: () => void child.kill('SIGTERM'),
    }
  }

  #words(...words: readonly string[]): string[] {
    const { user, port } = this.#target
    const options = [
      'BatchMode=yes',
      'ConnectTimeout=20',
      'ServerAliveInterval=15',
      'ServerAliveCountMax=3',
      'LogLevel=ERROR',
      'ControlMaster=auto',
      'ControlPersist=30',
      `ControlPath=${join(this.#folder, 'socket')}`,
    ]
    return [
      ...(this.#config === undefined ? [] : ['-F', this.#config]),
      ...(user === undefined ? [] : ['-l', user]),
      ...(port === undefined ? [] : ['-p', String(port)]),
      ...options.flatMap((option) => ['-o', option]),
      ...words,
    ]
  }

  /** What a short script of the host's shell prints. */
  async #script(script: string, ...args: readonly string[]): Promise<string> {
    const command = quoteWords(['sh', '-c', script, 'sh', ...args])
    const options = { timeout: scriptTimeoutMs, maxBuffer: maxScriptOutput }
    return (await run('ssh', this.#words('-T', '--', this.#target.host, command), options)).stdout
  }

  /** A signal for a program that has ended meanwhile has nothing to say. */
  #onSide(work: Promise<unknown>): void {
    const settled = work.catch(() => undefined)
    this.#aside.add(settled)
    void settled.then(() => this.#aside.delete(settled))
  }
}

const endOf = (child: ChildProcess): Promise<Ending> =>
  once(child, 'close').then(
    ([code, signal]: unknown[]): Ending =>
      typeof code === 'number' ? { kind: 'exit', code } : { kind: 'signal', signal: String(signal) },
    (error: unknown): Ending => ({
      kind: 'not-begun',
      error: error instanceof Error ? error : new Error(String(error)),
    }),
  )
