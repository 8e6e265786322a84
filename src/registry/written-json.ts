import * as v from 'valibot'
import { parseShallowJson } from '../model/shallow-json.js'

/** Error for a file whose content is not valid. */
export class FormatError extends Error {
  /** Whether the file was probably written by a newer awaitvm. */
  readonly isNewer: boolean

  constructor(message: string, isNewer: boolean, cause?: unknown) {
    super(message, { cause })
    this.name = 'FormatError'
    this.isNewer = isNewer
  }
}

/** Whether an error is about a file of a newer awaitvm. */
export const isNewer = (error: unknown): boolean =>
  error instanceof FormatError ? error.isNewer : error instanceof Error && isNewer(error.cause)

/** Messages quote values, and a value may be as long as its file. */
const maxMessageLength = 300

/** Parses and checks the text of a JSON file. Throws a {@link FormatError} that names the first problem. */
export function parseJson<S extends v.GenericSchema>(schema: S, text: string): v.InferOutput<S> {
  if (text === '') throw new FormatError('it is empty', false)
  let value: unknown
  try {
    value = parseShallowJson(text)
  } catch (cause) {
    throw new FormatError(
      cause instanceof Error ? cause.message.slice(0, maxMessageLength) : 'it is no JSON',
      false,
      cause,
    )
  }
  const parsed = v.safeParse(schema, value, { abortEarly: true })
  if (parsed.success) return parsed.output
  const [issue] = parsed.issues
  const path = v.getDotPath(issue)
  const what = isUnknownKey(issue) ? 'is not known to this awaitvm' : issue.message
  const message = path === null ? what : isUnknownKey(issue) ? `${path} ${what}` : `${path}: ${what}`
  throw new FormatError(message.slice(0, maxMessageLength), isOfLaterVersion(issue, path))
}

const isUnknownKey = ({ expected }: v.BaseIssue<unknown>): boolean => expected === 'never'

/** An unknown key, an unknown value of a list, or another version of the format. */
const isOfLaterVersion = (issue: v.BaseIssue<unknown>, path: string | null): boolean =>
  isUnknownKey(issue) ||
  ((issue.type === 'picklist' || issue.type === 'variant') && typeof issue.input === 'string') ||
  ((path === 'format' || path === 'version') && typeof issue.input === 'number')
