import { randomBytes } from 'node:crypto'
import type { ExecOptions } from '../../model/exec.js'
import type { Outcome } from './program-runner.js'
import { quoteWords } from '../../ssh/quote.js'

/**
 * Says on standard error that it has begun, runs the program, and says there that it has ended, and how: prlctl's own exit code
 * may be that of the program or of a failure of prlctl's, also of one that comes after the program has begun or ended.
 */
const script = `mark=$1; folder=$2; shift 2; printf '%s begun\\n' "$mark" >&2; if [ -n "$folder" ]; then cd "$folder" || { printf '\\n%s 126\\n' "$mark" >&2; exit 126; }; fi; "$@"; code=$?; printf '\\n%s %s\\n' "$mark" "$code" >&2; exit "$code"`

/** A program as the guest's shell is to run it. */
export interface GuestProgram {
  readonly commandLine: string
  readonly mark: string
  /** What it says as it begins. */
  readonly begin: string
}

/** The shell of the guest takes the words apart as they were. */
export function guestProgram(argv: readonly string[], { env = {}, cwd = '' }: ExecOptions): GuestProgram {
  const mark = `awaitvm-${randomBytes(9).toString('hex')}`
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  // `env` would take a program whose name has an equals sign for a variable.
  const program = variables.length === 0 ? argv : ['env', ...variables, 'sh', '-c', '"$@"', 'sh', ...argv]
  const commandLine = quoteWords(['sh', '-c', script, 'sh', mark, cwd, ...program])
  return { commandLine, mark, begin: `${mark} begun\n` }
}

/** What a program's standard error says of its end, and what is left of it without that. */
export interface GuestProgramEnd {
  readonly hasBegun: boolean
  /** Absent where the program has not said that it ended. */
  readonly exitCode: number | undefined
  readonly stderr: Buffer
}

export function endOf(
  { mark, begin }: GuestProgram,
  { stderr, stderrEnd }: Pick<Outcome, 'stderr' | 'stderrEnd'>,
): GuestProgramEnd {
  const told = stderrEnd.length === 0 ? stderr : Buffer.concat([stderr, stderrEnd])
  const begunAt = told.indexOf(begin)
  const hasBegun = begunAt >= 0
  const from = told.lastIndexOf(`\n${mark} `)
  const exitCode = from < 0 ? undefined : /^\n\S+ (\d{1,3})\n/.exec(told.toString('latin1', from))?.[1]
  if (exitCode === undefined) return { hasBegun, exitCode: undefined, stderr }
  const own = told.subarray(0, Math.min(from, stderr.length))
  const before = own.subarray(0, Math.max(0, begunAt))
  return {
    hasBegun,
    exitCode: Number(exitCode),
    stderr: hasBegun ? Buffer.concat([before, own.subarray(begunAt + begin.length)]) : own,
  }
}
