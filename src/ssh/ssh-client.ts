import { execFile, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { promisify } from 'node:util'
import { endingOf, programOf, type HostProgram, type StartOptions } from './host-program.js'
import { quoteWords } from './quote.js'
import { RemoteReport } from './remote-report.js'

/** Another machine. */
export interface SshTarget {
  readonly host: string
  /** Absent for the user that the client's configuration names. */
  readonly user?: string | undefined
  readonly port?: number | undefined
}

export interface SshOptions {
  /** A file with the settings of the ssh client, in place of the user's own. */
  readonly config?: string | undefined
  /** Folders that are added to the PATH that sshd gives to programs: `/usr/local/bin`. */
  readonly extraPath?: string | undefined
  /** The file of the private key, in place of those that the client would try. */
  readonly identity?: string | undefined
  /** The ssh client; `ssh` if absent. */
  readonly program?: string | undefined
  /** Whether any host key is accepted. */
  readonly trustsAnyHost?: boolean | undefined
}

/**
 * Runs a program, and reports on standard error its process id and how it ended: the exit code of ssh may be that of the program, or
 * of a broken connection.
 */
const reportingScript = `mark=$1; shift
command -v "$1" >/dev/null || { printf '%s missing 0\\n' "$mark" >&2; exit 0; }
exec 3<&0; "$@" <&3 3<&- & pid=$!; exec 3<&-; printf '%s pid %s\\n' "$mark" "$pid" >&2
wait "$pid"; printf '%s end %s\\n' "$mark" "$?" >&2`

/** Time for a killed program to end, before its connection is cut. */
const patienceMs = 5000

/** Longest time for a script, in milliseconds. */
const scriptTimeoutMs = 60_000

/** Enough for a picture of a large screen, as text. */
const maxScriptOutput = 64 * 2 ** 20

const run = promisify(execFile)

/**
 * The ssh client of this machine, with one connection that all programs share. It never asks for a password. Words reach the programs
 * of the other machine to the letter, through the shells of both.
 */
export class SshClient {
  readonly #target: SshTarget
  readonly #program: string
  /** What the options say, as arguments of the client. */
  readonly #settings: readonly string[]
  /** The beginning of a script that starts a program. */
  readonly #setPath: string
  /** Signals that are being sent to programs of the other machine. */
  readonly #signals = new Set<Promise<unknown>>()
  /** Holds the socket of the shared connection. */
  readonly #folder: string

  private constructor(target: SshTarget, options: SshOptions, folder: string) {
    const { config, extraPath, identity, program = 'ssh', trustsAnyHost = false } = options
    this.#target = target
    this.#program = program
    this.#settings = [
      ...(config === undefined ? [] : ['-F', config]),
      ...(identity === undefined ? [] : ['-i', identity, '-o', 'IdentitiesOnly=yes']),
      ...(trustsAnyHost ? ['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null'] : []),
    ]
    this.#setPath = extraPath === undefined ? '' : `PATH="$PATH":${quoteWords([extraPath])}; export PATH; `
    this.#folder = folder
  }

  /** Prepares a client; the first program makes the connection. */
  static async open(target: SshTarget, options: SshOptions = {}): Promise<SshClient> {
    return new SshClient(target, options, await mkdtemp(join(tmpdir(), 'awaitvm-')))
  }

  /** Starts a program. A live one has a terminal, ends with the connection, and does not tell an exit code apart from a failure of ssh. */
  start(argv: readonly string[], { hasInput, isLive = false }: StartOptions): HostProgram {
    return isLive ? this.#startLive(argv) : this.#startReporting(argv, hasInput)
  }

  /**
   * Runs a short script of the other machine's POSIX shell, and answers what it prints.
   * @param args the script's parameters, `$1` and so on
   * @param signal ends it, and the attempt to connect for it
   */
  async script(script: string, args: readonly string[] = [], signal?: AbortSignal): Promise<string> {
    const options = { timeout: scriptTimeoutMs, maxBuffer: maxScriptOutput, signal }
    const command = quoteWords(['sh', '-c', script, 'sh', ...args])
    return (await run(this.#program, this.#words('-T', '--', this.#target.host, command), options)).stdout
  }

  /** Ends the shared connection. Programs must have ended before. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#signals)
    // This fails if there is no connection any more.
    const leaving = run(this.#program, this.#words('-O', 'exit', '--', this.#target.host), { timeout: patienceMs })
    await Promise.allSettled([leaving])
    await rm(this.#folder, { recursive: true, force: true })
  }

  #startReporting(argv: readonly string[], hasInput: boolean): HostProgram {
    const report = new RemoteReport(`awaitvm-${randomUUID()}`)
    const child = this.#spawn('-T', reportingScript, report.mark, ...argv)
    const stderr = new PassThrough()
    child.stderr.pipe(report).pipe(stderr)
    if (!hasInput) child.stdin.end()
    const ended = endingOf(child).then((ending) => report.ending(ending))
    const signal = (name: 'INT' | 'KILL'): void => {
      report.whenBegun((pid) => {
        report.sent.add(name)
        this.#signal(name, pid)
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

  #startLive(argv: readonly string[]): HostProgram {
    const child = this.#spawn('-tt', 'exec "$@"', ...argv)
    // Cutting the connection ends the program, too: it loses its terminal.
    return programOf(child, { interrupt: 'SIGTERM', kill: 'SIGTERM' })
  }

  #spawn(terminal: '-T' | '-tt', script: string, ...args: readonly string[]): ChildProcessWithoutNullStreams {
    const command = `exec ${quoteWords(['sh', '-c', `${this.#setPath}${script}`, 'sh', ...args])}`
    return spawn(this.#program, this.#words(terminal, '--', this.#target.host, command), { stdio: 'pipe' })
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
      ...this.#settings,
      ...(user === undefined ? [] : ['-l', user]),
      ...(port === undefined ? [] : ['-p', String(port)]),
      ...options.flatMap((option) => ['-o', option]),
      ...words,
    ]
  }

  /** A signal for a program that has just ended fails, and that is all right. */
  #signal(name: 'INT' | 'KILL', pid: number): void {
    const sent = this.script('kill -"$1" "$2"', [name, String(pid)]).catch(() => undefined)
    this.#signals.add(sent)
    void sent.then(() => this.#signals.delete(sent))
  }
}
