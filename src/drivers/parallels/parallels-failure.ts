import { isExhaustion } from '../../errors/errno.js'
import { errorCode } from '../../errors/native.js'
import type { NativeError } from '../../errors.js'
import type { Outcome } from './program-runner.js'
import { sdkErrorCode, sdkErrorIn, type SdkErrorKind } from './sdk-errors.js'

export type FailureKind =
  | SdkErrorKind
  /** The edition of Parallels Desktop lacks it. */
  | 'edition'
  /** The VM's disks are being synchronized. */
  | 'synchronizing'
  /** The host asks for the password of an administrator. */
  | 'password'
  /** The host cancelled it without being asked. */
  | 'cancelled-unasked'
  | 'tool-missing'
  | 'not-begun'
  /** It took too long, and the host confirmed that it was cancelled. */
  | 'timed-out'
  /** The program or the connection ended before it reported the outcome. */
  | 'lost'

/** The failure of a program of Parallels; `parallelsError` makes the error of an operation from it. */
export class ParallelsFailure extends Error {
  readonly kind: FailureKind
  readonly native: NativeError

  constructor(kind: FailureKind, native: NativeError, cause?: unknown) {
    super(native.message, cause === undefined ? undefined : { cause })
    this.kind = kind
    this.native = native
  }
}

/** True if the command may have taken effect in spite of its failure. */
export const isDoubtful = (error: unknown): error is ParallelsFailure =>
  error instanceof ParallelsFailure && ['overdue', 'lost', 'connection-lost'].includes(error.kind)

/** Why a program was not started, by the code of the error. */
const notBegun: Readonly<Record<string, FailureKind>> = {
  ENOENT: 'tool-missing',
  EAUTH: 'credentials',
  // A NUL character, or an argument list that is too long.
  ERR_INVALID_ARG_VALUE: 'argument',
  E2BIG: 'argument',
}

/** Failures for which the SDK has no symbol, by their words. */
const wordings: readonly { readonly words: RegExp; readonly kind: FailureKind }[] = [
  { words: /data synchronization is currently in progress/i, kind: 'synchronizing' },
  { words: /must enter the host OS administrator/i, kind: 'password' },
  // The VM is being packed or unpacked.
  { words: /is in the intermediate state/i, kind: 'busy' },
  { words: /^(?:unrecognized option|unknown action): /im, kind: 'not-supported' },
]

/** Characters of the host's words that an error keeps. */
const maxWords = 2000

const words = (text: string): string => text.trim().slice(0, maxWords)

/** `undefined` if the program succeeded. */
export function failureOf(outcome: Outcome, program: string): ParallelsFailure | undefined {
  const { ending, isOverdue, wasInterrupted } = outcome
  const failure = (kind: FailureKind, message: string, code?: string | number): ParallelsFailure =>
    new ParallelsFailure(kind, { driver: 'parallels', ...(code !== undefined && { code }), message })
  switch (ending.kind) {
    case 'not-begun': {
      const { error } = ending
      const code = errorCode(error)
      const known = code === undefined ? undefined : notBegun[code]
      const kind = isExhaustion(error) ? 'resources' : (known ?? 'not-begun')
      return new ParallelsFailure(
        kind,
        { driver: 'parallels', ...(code !== undefined && { code }), message: error.message },
        error,
      )
    }
    case 'lost':
      return failure('lost', ending.reason)
    case 'signal':
      if (isOverdue) return failure('overdue', `${program} did not end in time, and was stopped`, ending.signal)
      // prlctl dies of the signal only until it has sent its command to the service.
      if (wasInterrupted && ending.signal === 'SIGINT')
        return failure('cancelled', `${program} was interrupted`, ending.signal)
      return failure('lost', `${program} was ended by ${ending.signal}`, ending.signal)
    case 'exit':
      return failureOfExit(outcome, ending.code, failure)
    default:
      return ending satisfies never
  }
}

function failureOfExit(
  { stdout, stderr, isOverdue, wasInterrupted }: Outcome,
  exitCode: number,
  failure: (kind: FailureKind, message: string, code?: string | number) => ParallelsFailure,
): ParallelsFailure | undefined {
  const complaint = words(stderr.toString())
  // Stopping a stopped VM prints an error, and exits with 0.
  if (exitCode === 0 && !/^Failed to /m.test(complaint)) return undefined
  const output = words(stdout.toString())
  if (/not available in this edition/i.test(`${output}\n${complaint}`)) {
    return failure('edition', complaint === '' ? output : complaint, exitCode)
  }
  const message = complaint === '' ? output : complaint
  const wording = wordings.find(({ words }) => words.test(message))
  if (wording !== undefined) return failure(wording.kind, message, exitCode)
  const sdkError = sdkErrorIn(message)
  if (sdkError !== undefined) {
    const ended = isOverdue ? 'timed-out' : wasInterrupted ? 'cancelled' : 'cancelled-unasked'
    return failure(sdkError.kind === 'cancelled' ? ended : sdkError.kind, message, sdkErrorCode(sdkError))
  }
  if (isOverdue)
    return failure('overdue', message === '' ? 'it did not end in time, and was stopped' : message, exitCode)
  if (exitCode === 253)
    return failure('connection', message === '' ? 'there is no Parallels service' : message, exitCode)
  if (complaint !== '') return failure('other', message, exitCode)
  // Without an error text, the outcome is unknown.
  const how = wasInterrupted ? 'it was interrupted' : `it ended with the exit code ${String(exitCode)}`
  return failure('lost', `${how}, and did not report the outcome`, exitCode)
}
