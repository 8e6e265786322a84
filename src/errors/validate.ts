import { inspect } from 'node:util'
import { err, ok, type Result } from 'neverthrow'
import * as v from 'valibot'
import { InvalidArgumentError } from '../errors.js'

const pathOf = (root: string, issue: v.BaseIssue<unknown>): string =>
  (issue.path ?? []).reduce(
    (path, { key }) => (typeof key === 'number' ? `${path}[${String(key)}]` : `${path}.${String(key)}`),
    root,
  )

function shown(value: unknown): string {
  try {
    const text = inspect(value, { depth: 0, maxStringLength: 40, maxArrayLength: 3, breakLength: Infinity })
    return text.length > 80 ? `${text.slice(0, 80)}...` : text
  } catch {
    return `a ${typeof value} that can't be shown`
  }
}

/** Returns a checked copy of the value, or an error with the path of the first problem: `spec.disks[0].image`. */
export function validate<S extends v.GenericSchema>(
  schema: S,
  value: unknown,
  root: string,
): Result<v.InferOutput<S>, InvalidArgumentError> {
  const parsed = parse(schema, value)
  if (parsed instanceof Error) {
    return err(new InvalidArgumentError({ path: root, reason: `${root} can't be read`, cause: parsed }))
  }
  if (parsed.success) return ok(parsed.output)
  const [issue] = parsed.issues
  const path = pathOf(root, issue)
  const found = /^(?:is|has|needs) /.test(issue.message) ? '' : `, and is ${shown(issue.input)}`
  // Only the check of names has a hint in `expected`: see `object`.
  const hint = issue.type === 'raw_check' ? (issue.expected ?? undefined) : undefined
  return err(new InvalidArgumentError({ path, reason: `${path} ${issue.message}${found}`, hint }))
}

/** A getter of the caller's object may throw. */
function parse<S extends v.GenericSchema>(schema: S, value: unknown): v.SafeParseResult<S> | Error {
  try {
    return v.safeParse(schema, value, { abortEarly: true })
  } catch (error) {
    return error instanceof Error ? error : new Error(shown(error))
  }
}
