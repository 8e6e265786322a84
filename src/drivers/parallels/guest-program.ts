import { randomBytes } from 'node:crypto'
import type { ProgramOptions } from '../../model/exec.js'
import type { Outcome } from './program-runner.js'
import { quoteWords } from '../../ssh/quote.js'

/**
 * Runs a program, and reports its begin and its exit code on standard error: the exit code of prlctl may be that of the program, or
 * of a failure of prlctl before or after it.
 */
const script = `mark=$1; folder=$2; shift 2; printf '%s begun\\n' "$mark" >&2; if [ -n "$folder" ]; then cd "$folder" || { printf '\\n%s 126\\n' "$mark" >&2; exit 126; }; fi; "$@"; code=$?; printf '\\n%s %s\\n' "$mark" "$code" >&2; exit "$code"`

/** A program as a command line of the guest's shell. */
export interface GuestProgram {
  readonly commandLine: string
  readonly mark: string
  /** The report of its begin. */
  readonly begin: string
}

/** Quotes a program for the guest's shell. */
export function guestProgram(argv: readonly string[], { env = {}, cwd = '' }: ProgramOptions): GuestProgram {
  const mark = `awaitvm-${randomBytes(9).toString('hex')}`
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  // `env` would take a program whose name has an equals sign for a variable.
  const program = variables.length === 0 ? argv : ['env', ...variables, 'sh', '-c', '"$@"', 'sh', ...argv]
  const commandLine = quoteWords(['sh', '-c', script, 'sh', mark, cwd, ...program])
  return { commandLine, mark, begin: `${mark} begun\n` }
}

/** The reports in a program's standard error, and the rest of it. */
export interface GuestProgramEnd {
  readonly hasBegun: boolean
  /** Absent if the end was not reported. */
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
