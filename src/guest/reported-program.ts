import { randomBytes } from 'node:crypto'
import { ReportsInOutput } from './reports-in-output.js'

/**
 * Three shells, one in the other. The innermost reports the begin and becomes the program. The one around it learns the exit code,
 * and whether its shell complains of a signal, which tells a signal from an exit code above 128. The outermost keeps that complaint
 * out of the program's standard error, and reports the end.
 */
const inner = `for to in 3 4; do printf "%s begun %s %s\\n" "$1" "$$" "$PPID" >&"$to"; done
AWAITVM_PROGRAM=$2; export AWAITVM_PROGRAM; shift 2; exec "$@" >&3 2>&4 3>&- 4>&-`

/** Bash keeps to itself what has ended a program while it follows POSIX. */
export const middle = `[ -z "$BASH_VERSION" ] || set +o posix; sh -c "$0" sh "$@"; printf "\\n%s" "$?"`

/** Runs the reported program whose arguments are the parameters; then `code` and `name` tell how it has ended. */
export const endOfReported = `said=$(sh -c "$middle" "$inner" "$@" 2>&1)
code=\${said##*
}; said=\${said%?"$code"}; name=
if [ -n "$said" ]; then if [ "$code" -gt 128 ]; then name=$(kill -l "$code"); else printf "%s\\n" "$said" >&4; fi; fi`

const outer = `mark=$1 middle=$2 inner=$3; shift 3; exec 3>&1 4>&2; set -- "$mark" "$@"
${endOfReported}
for to in 4 3; do printf "%s end %s %s\\n" "$mark" "$code" "$name" >&"$to"; done`

const isReport = /^(?:begun \d{1,10} \d{1,10}|end \d{1,3} \w{0,12})$/

/** A program that reports its begin and its end among its outputs. */
export interface ReportedProgram {
  readonly argv: readonly string[]
  /** Begins each report. */
  readonly mark: string
  /** What the program and all that it starts have in their environment, as `AWAITVM_PROGRAM`. */
  readonly id: string
}

export function reportedProgram(argv: readonly string[]): ReportedProgram {
  const [mark, id] = [newMark(), newMark()]
  return { argv: ['sh', '-c', outer, 'sh', mark, middle, inner, id, ...argv], mark, id }
}

const newMark = (): string => `awaitvm-${randomBytes(12).toString('hex')}`

/** A program that runs in a guest: what the scripts that stop it need. */
export interface BegunProgram {
  readonly pid: number
  /** The shell that waits for it. */
  readonly parent: number
}

/** The end of a program, as the guest's shell reports it. */
export interface ReportedEnd {
  readonly code: number
  /** The name of a signal without `SIG`; empty if the program has exited. Shells don't tell SIGINT and SIGPIPE from exit codes. */
  readonly signal: string
}

/** One of the two outputs of a reported program. */
export class ReportedOutput {
  readonly #reports: ReportsInOutput
  #begun: BegunProgram | undefined
  #end: ReportedEnd | undefined

  constructor({ mark }: Pick<ReportedProgram, 'mark'>) {
    this.#reports = new ReportsInOutput(mark, isReport)
  }

  get begun(): BegunProgram | undefined {
    return this.#begun
  }

  get end(): ReportedEnd | undefined {
    return this.#end
  }

  /** The bytes of the next piece, without the reports. Those between the two reports are the program's own. */
  *take(piece: Uint8Array): Generator<{ readonly bytes: Buffer; readonly isOwn: boolean }, void, undefined> {
    for (const item of this.#reports.take(piece)) {
      if (typeof item === 'string') this.#note(item.split(' '))
      else yield { bytes: item, isOwn: this.#begun !== undefined && this.#end === undefined }
    }
  }

  /** What was held back, once the stream has ended. */
  rest(): Buffer {
    return this.#reports.rest()
  }

  #note([verb, first, second = '']: readonly string[]): void {
    if (verb === 'begun') this.#begun ??= { pid: Number(first), parent: Number(second) }
    else this.#end ??= { code: Number(first), signal: second }
  }
}
