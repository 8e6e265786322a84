import { randomBytes } from 'node:crypto'
import type { ProgramControl, ProgramEnd, ProgramIo } from '../driver/program-io.js'
import { HostError, type VmError } from '../errors.js'
import type { GuestProgram } from './guest-way.js'
import { noFolder, noProgram, noUser, otherUser, requireVariableNames } from './refusals.js'

/** The shell of every POSIX system. */
export const shell = '/bin/sh'

/** The program with its arguments: a text is for the guest's shell. */
export const argvOf = (command: string | readonly string[]): readonly string[] =>
  typeof command === 'string' ? [shell, '-c', command] : command

/*
 * The parameters are a mark, the folder, the PATH, the name of the program, and what is executed: the program with its arguments, with
 * variables before them if there are any. Then env executes them, which is looked for before the PATH changes. The script prints the
 * mark, and whether the program begins or why not.
 */
const startScript = `m=$1; d=$2; s=$3; p=$4; v=$5; shift 5
no() { echo "$m $1" >&2; exit 126; }
[ -z "$d" ] || cd -- "$d" 2>/dev/null || no folder
[ -z "$v" ] || { v=$(command -v env) || no program; }
[ -z "$s" ] || PATH=$s
case $p in */*) [ -f "$p" ] && [ -x "$p" ] || no program ;; *) command -v -- "$p" >/dev/null || no program ;; esac
echo "$m begun $$" >&2
[ -z "$v" ] || exec "$v" "$@"
exec "$@"`

/*
 * Runs the script above as another user. The parameters are a mark, the user and that script, then those of it. setpriv of
 * util-linux sets the groups and runs no session; that of busybox can't. No shell of the user reads any file.
 */
const userScript = `m=$1; u=$2; s=$3; shift 3
no() { echo "$m $1" >&2; exit 126; }
i=$(id -u "$u" 2>/dev/null) && n=$(id -un "$u") || no user
eval "HOME=~$n"; USER=$n; LOGNAME=$n; export HOME USER LOGNAME
o=$(id -u)
[ "$i" != "$o" ] || exec ${shell} -c "$s" sh "$m" "$@"
[ "$o" = 0 ] || no root
case $(setpriv --help 2>/dev/null) in *--init-groups*)
exec setpriv --reuid "$i" --regid "$(id -g "$u")" --init-groups -- ${shell} -c "$s" sh "$m" "$@" ;; esac
exec su -s ${shell} -c "exec \\"\\$@\\"" -- "$n" sh ${shell} -c "$s" sh "$m" "$@"`

/** How much is kept of what is printed before the program begins, such as warnings of su. */
const maxForeword = 4096

/** A program that the guest's shell starts. */
export interface WrappedProgram {
  /** What is to be run in place of the program: without variables, a folder or a user of its own. */
  readonly argv: readonly string[]
  /** What is to be used in place of the program's. `begun` is passed on once the program itself runs. */
  readonly io: ProgramIo
  /** The process id of the program, once it runs. */
  readonly pid: number | undefined
  /**
   * To be called with the end.
   *
   * @throws InvalidArgumentError if the guest has no such program, folder or user; PermissionDeniedError if the way may not change the
   *   user; HostError if the guest can't start it for another reason. The program has not run then.
   */
  requireBegun(end: ProgramEnd): void
}

/**
 * Lets the guest's shell set the variables, the folder and the user of a program, for ways into a guest that can't do that themselves,
 * and tell if the program can't be run. The process of the shell becomes that of the program.
 *
 * @param io of the program
 * @param driver the driver's name, for errors
 * @param mark begins the report of the start
 * @throws InvalidArgumentError for a wrong name of a variable
 */
export function wrappedProgram(
  program: GuestProgram,
  io: ProgramIo,
  driver: string,
  mark = `awaitvm-${randomBytes(12).toString('hex')}`,
): WrappedProgram {
  const { argv, env = {}, cwd = '', user, pty } = program
  requireVariableNames(env)
  const [name = '', ...args] = argv
  const variables = Object.entries(env).map(([variable, value]) => `${variable}=${value}`)
  // env would take a program with such a name for a variable.
  const command =
    variables.length > 0 && name.includes('=') ? [shell, '-c', 'exec "$@"', 'sh', ...argv] : [name, ...args]
  const start = [cwd, env['PATH'] ?? '', name, variables.length > 0 ? 'env' : '', ...variables, ...command]
  const foreword = new Foreword(mark, io, pty === undefined ? 'stderr' : 'stdout')
  return {
    argv:
      user === undefined
        ? [shell, '-c', startScript, 'sh', mark, ...start]
        : [shell, '-c', userScript, 'sh', mark, requireUserName(user), startScript, ...start],
    io: {
      input: io.input,
      output: (stream, bytes) => foreword.output(stream, bytes),
      begun: (control) => foreword.begun(control),
    },
    get pid() {
      return foreword.pid
    },
    requireBegun({ exitCode }) {
      if (foreword.pid !== undefined || exitCode === undefined) return
      throw refusal(foreword, program) ?? notStarted(foreword, exitCode, driver)
    },
  }
}

function requireUserName(user: string): string {
  // A name with other characters could be an option, or a part of the script.
  if (/^\w[\w.@+-]{0,255}\$?$/.test(user)) return user
  throw noUser(user)
}

function refusal({ report }: Foreword, { argv: [name = ''], cwd = '', user = '' }: GuestProgram): VmError | undefined {
  switch (report) {
    case 'program':
      return noProgram(name)
    case 'folder':
      return noFolder(cwd)
    case 'user':
      return noUser(user)
    case 'root':
      return otherUser(user)
    default:
      return undefined
  }
}

const notStarted = ({ text }: Foreword, exitCode: number, driver: string): HostError =>
  new HostError({
    reason: `the shell of the guest could not start the program: ${text === '' ? `exit code ${exitCode}` : text}`,
    native: { driver, code: exitCode, message: text },
  })

/** The output until the program itself begins. */
class Foreword {
  readonly #mark: string
  readonly #io: ProgramIo
  readonly #stream: 'stdout' | 'stderr'
  #held: Buffer = Buffer.alloc(0)
  #control: ProgramControl | undefined
  #report: string | undefined
  #pid: number | undefined

  constructor(mark: string, io: ProgramIo, stream: 'stdout' | 'stderr') {
    this.#mark = mark
    this.#io = io
    this.#stream = stream
  }

  get pid(): number | undefined {
    return this.#pid
  }

  /** What the script has told in place of the begin. */
  get report(): string | undefined {
    return this.#report
  }

  /** What was printed by others than the script. */
  get text(): string {
    return this.#held.toString().trim()
  }

  begun(control: ProgramControl): void {
    this.#control = control
    if (this.#pid !== undefined) this.#io.begun(control)
  }

  output(stream: 'stdout' | 'stderr', bytes: Uint8Array): Promise<void> | void {
    if (this.#pid !== undefined || stream !== this.#stream) return this.#io.output(stream, bytes)
    this.#held = Buffer.concat([this.#held, bytes])
    const at = this.#held.indexOf(this.#mark)
    const end = at < 0 ? -1 : this.#held.indexOf('\n', at)
    if (end < 0) {
      this.#held = this.#held.subarray(-maxForeword)
      return
    }
    const [report, pid] = this.#held
      .toString('latin1', at + this.#mark.length + 1, end)
      .trim()
      .split(' ')
    const rest = this.#held.subarray(end + 1)
    this.#held = this.#held.subarray(0, at)
    this.#report = report
    if (report !== 'begun') return
    this.#pid = Number(pid)
    if (this.#control !== undefined) this.#io.begun(this.#control)
    if (rest.length > 0) return this.#io.output(stream, rest)
  }
}
