import { isExhaustion } from '../../errors/errno.js'
import { errorCode } from '../../errors/native.js'
import type { NativeError } from '../../errors.js'
import type { Outcome } from './program-runner.js'
import { sdkErrorCode, sdkErrorIn, type SdkErrorKind } from './sdk-errors.js'

export type FailureKind =
  | SdkErrorKind
  /** The edition of Parallels Desktop does not have it. */
  | 'edition'
  /** Something in a VM is busy with its disks for a moment. */
  | 'synchronizing'
  /** The host asks for the password of an administrator, and nobody is there to enter it. */
  | 'password'
  /** It says that it was cancelled, and nobody has asked for that. */
  | 'cancelled-unasked'
  | 'tool-missing'
  | 'not-begun'
  /** It took too long, and the host says that it has cancelled it. */
  | 'timed-out'
  /** It ended, or the connection to it, before it could say what came of it. */
  | 'lost'

/** How a program of Parallels failed; what that means to an operation is said by `parallelsError`. */
export class ParallelsFailure extends Error {
  readonly kind: FailureKind
  readonly native: NativeError

  constructor(kind: FailureKind, native: NativeError, cause?: unknown) {
    super(native.message, cause === undefined ? undefined : { cause })
    this.kind = kind
    this.native = native
  }
}

/** Whether what was asked for may have been done all the same. */
export const isDoubtful = (error: unknown): error is ParallelsFailure =>
  error instanceof ParallelsFailure && ['overdue', 'lost', 'connection-lost'].includes(error.kind)

/** Why a program is not begun, by the code of the error. */
const notBegun: Readonly<Record<string, FailureKind>> = {
  ENOENT: 'tool-missing',
  EAUTH: 'credentials',
  // A NUL character, or more than the system takes.
  ERR_INVALID_ARG_VALUE: 'argument',
  E2BIG: 'argument',
}

/** What is known by its words only: the table of the SDK's errors has no symbol for it. */
const wordings: readonly { readonly words: RegExp; readonly kind: FailureKind }[] = [
  { words: /data synchronization is currently in progress/i, kind: 'synchronizing' },
  { words: /must enter the host OS administrator/i, kind: 'password' },
  // A VM that is being packed or unpacked.
  { words: /is in the intermediate state/i, kind: 'busy' },
  { words: /^(?:unrecognized option|unknown action): /im, kind: 'not-supported' },
]

/** As much of the host's words as an error carries. */
const maxWords = 2000

const words = (text: string): string => text.trim().slice(0, maxWords)

/** `undefined` where the program has succeeded. */
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
      // It is the signal that it was sent: by then it had not come to asking the service for anything.
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
  // A stop of a stopped VM complains, and yet ends with 0.
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
  // It has said at most what it was about: that may have been done, or not.
  const how = wasInterrupted ? 'it was interrupted' : `it ended with the exit code ${String(exitCode)}`
  return failure('lost', `${how}, and does not say what came of it`, exitCode)
}
