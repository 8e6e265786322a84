import { isAbsolute } from 'node:path'
import * as v from 'valibot'
import { hintForName, notKnown, unknownName } from './unknown-name.js'

/** The messages of these schemas complete "spec.name ..." */

export const text = v.string('must be a string')

export const withoutNul = v.check((value: string) => !value.includes('\0'), 'must not contain a NUL character')

/** A string that may become an argument of a program, or a path. */
export const plainText = v.pipe(text, withoutNul)

export const pathSchema = v.pipe(plainText, v.check(isAbsolute, 'must be an absolute path: use path.resolve()'))

export const whole = (maximum: number): v.GenericSchema<number> =>
  v.pipe(
    v.number('must be a number'),
    v.check(
      (value) => Number.isSafeInteger(value) && value >= 1 && value <= maximum,
      `must be a whole number from 1 to ${String(maximum)}`,
    ),
  )

/** A port of TCP or UDP. */
export const portSchema = whole(65_535)

/** @param shown the maximum as it is written */
export const wholeFrom0 = (maximum: number, shown = String(maximum)): v.GenericSchema<number> =>
  v.pipe(
    v.number('must be a number'),
    v.check(
      (value) => Number.isSafeInteger(value) && value >= 0 && value <= maximum,
      `must be a whole number from 0 to ${shown}`,
    ),
  )

export const nonEmpty = v.pipe(text, v.minLength(1, 'must not be empty'))

export const areDistinct = (values: readonly unknown[]): boolean => new Set(values).size === values.length

export const optional = <S extends v.GenericSchema>(schema: S): v.OptionalSchema<S, undefined> => v.optional(schema)

export const flag = optional(v.boolean('must be true or false'))

/**
 * One schema for each setting of a part of the model. With `satisfies`, it is a compile error if a setting of the model has no
 * schema.
 */
export type EntriesOf<T> = { readonly [K in keyof T]-?: v.GenericSchema<unknown, T[K]> }

/** The type with all keys required. A literal of this type must name every setting. */
export type Complete<T> = { [K in keyof Required<T>]: T[K] }

/** A value that its consumer checks. */
export const unchecked = <T>(): v.OptionalSchema<v.GenericSchema<T>, undefined> => optional(v.custom<T>(() => true))

export const objectOnly = v.custom<object>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'must be an object',
)

/** Refuses unknown names, with a hint for `validate` in `expected`. */
const knownNames = (known: readonly string[]): v.GenericSchema<object> =>
  v.pipe(
    objectOnly,
    v.rawCheck(({ dataset, addIssue }) => {
      const key = dataset.typed ? unknownName(dataset.value, known) : undefined
      if (key === undefined) return
      addIssue({
        message: notKnown,
        expected: hintForName(key, known),
        path: [{ type: 'object', origin: 'key', input: {}, key, value: undefined }],
      })
    }),
  )

/**
 * An object with these keys and no others.
 *
 * @param others further keys that are allowed, and left out of the copy
 */
export const object = <S extends v.ObjectEntries>(
  entries: S,
  others: readonly string[] = [],
): v.GenericSchema<unknown, v.InferOutput<v.ObjectSchema<S, undefined>>> =>
  v.pipe(knownNames([...Object.keys(entries), ...others]), v.object(entries, 'is missing'))

/** An object of strings under names of a user's own. Not `v.record`, which leaves names out that objects inherit, such as `constructor`. */
export const namedTexts = (
  nameSchema: v.GenericSchema<string>,
  valueSchema: v.GenericSchema<string>,
): v.GenericSchema<unknown, Readonly<Record<string, string>>> =>
  v.pipe(
    objectOnly,
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      const texts = new Map<string, string>()
      const entries: [string, unknown][] = Object.entries(dataset.value)
      for (const [key, value] of entries) {
        const checks = [v.safeParse(nameSchema, key), v.safeParse(valueSchema, value)] as const
        const [issue] = checks.flatMap(({ issues }) => issues ?? [])
        if (issue !== undefined) {
          const { message } = issue
          addIssue({ message, input: value, path: [{ type: 'object', origin: 'value', input: {}, key, value }] })
          return NEVER
        }
        if (checks[1].success) texts.set(key, checks[1].output)
      }
      return Object.fromEntries(texts)
    }),
  )

export const list = <S extends v.GenericSchema>(
  schema: S,
  maximum: number,
): v.GenericSchema<unknown, v.InferOutput<S>[]> =>
  v.pipe(v.array(schema, 'must be an array'), v.maxLength(maximum, `must have at most ${String(maximum)} entries`))
