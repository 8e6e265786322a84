import * as v from 'valibot'
import { objectOnly } from './schema.js'

/** Plain data, as JSON has it. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject

/** An object of plain data. A name whose value is `undefined` counts as absent. */
export interface JsonObject {
  readonly [name: string]: JsonValue | undefined
}

/** No message of a host is a tenth as deep. */
const maxDepth = 100

/** True for plain data. A cycle is too deep for it. */
export const isJson = (value: unknown): value is JsonValue => problemOf(value, []) === undefined

/** What is wrong with a value, and where in it. */
interface Problem {
  readonly path: readonly (string | number)[]
  readonly message: string
  readonly found: unknown
}

function problemOf(value: unknown, path: readonly (string | number)[]): Problem | undefined {
  const wrong = (message: string): Problem => ({ path, message, found: value })
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return undefined
    case 'number':
      return Number.isFinite(value) ? undefined : wrong('must be a finite number')
    case 'object':
      break
    default:
      return wrong('must be plain data, as JSON has it')
  }
  if (value === null) return undefined
  if (path.length >= maxDepth) return wrong(`is nested more than ${String(maxDepth)} levels deep`)
  if (Array.isArray(value)) return firstProblem([...value.entries()], path)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return wrong('must be plain data, as JSON has it')
  return firstProblem(
    Object.entries(value).filter(([, each]) => each !== undefined),
    path,
  )
}

function firstProblem(
  entries: readonly (readonly [string | number, unknown])[],
  path: readonly (string | number)[],
): Problem | undefined {
  for (const [key, value] of entries) {
    const problem = problemOf(value, [...path, key])
    if (problem !== undefined) return problem
  }
  return undefined
}

const shownPath = (
  value: object,
  { path, found }: Problem,
): [v.UnknownPathItem, ...v.UnknownPathItem[]] | undefined => {
  const [first, ...rest] = path.map((key) => ({
    type: 'unknown' as const,
    origin: 'value' as const,
    input: value,
    key,
    value: found,
  }))
  return first && [first, ...rest]
}

/**
 * An object of plain data, as a copy without what counts as absent.
 *
 * @param maxLength how many characters it may have as JSON
 */
export const jsonObjectSchema = (maxLength: number): v.GenericSchema<unknown, JsonObject> =>
  v.pipe(
    objectOnly,
    v.rawCheck(({ dataset, addIssue }) => {
      if (!dataset.typed) return
      const problem = problemOf(dataset.value, [])
      if (problem === undefined) return
      const path = shownPath(dataset.value, problem)
      addIssue({ message: problem.message, input: problem.found, ...(path && { path }) })
    }),
    v.transform((value) => JSON.stringify(value)),
    v.maxLength(maxLength, `must have at most ${String(maxLength)} characters as JSON`),
    v.transform((text): unknown => JSON.parse(text)),
    v.custom<JsonObject>(isJson),
  )
