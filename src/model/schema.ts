import * as v from 'valibot'
import { hintForName, notKnown, unknownName } from './unknown-name.js'

/** Schemas whose messages complete "spec.name ..." */

export const text = v.string('must be a string')

/** A string that may become an argument of a program, or a path. */
export const plainText = v.pipe(
  text,
  v.check((value) => !value.includes('\0'), 'must not contain a NUL character'),
)

export const whole = (maximum: number): v.GenericSchema<number> =>
  v.pipe(
    v.number('must be a number'),
    v.check(
      (value) => Number.isSafeInteger(value) && value >= 1 && value <= maximum,
      `must be a whole number from 1 to ${String(maximum)}`,
    ),
  )

export const nonEmpty = v.pipe(text, v.minLength(1, 'must not be empty'))

export const areDistinct = (values: readonly unknown[]): boolean => new Set(values).size === values.length

export const optional = <S extends v.GenericSchema>(schema: S): v.OptionalSchema<S, undefined> => v.optional(schema)

/**
 * A schema for each setting of a part of the model, and for nothing else. With `satisfies`, a setting that is added to the model is
 * an error wherever its schema is missing.
 */
export type EntriesOf<T> = { readonly [K in keyof T]-?: v.GenericSchema<unknown, T[K]> }

/** The type with all of its keys, also those that are optional: a literal of it names every setting. */
export type Complete<T> = { [K in keyof Required<T>]: T[K] }

/** A value that is checked by what it is for. */
export const unchecked = <T>(): v.OptionalSchema<v.GenericSchema<T>, undefined> => optional(v.custom<T>(() => true))

const objectOnly = v.custom<object>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'must be an object',
)

/** Refuses other names than these, and tells `validate` by `expected` what to do about it. */
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
 * An object of these keys and no others.
 * @param others keys that it may have besides, which are left out of the copy
 */
export const object = <S extends v.ObjectEntries>(
  entries: S,
  others: readonly string[] = [],
): v.GenericSchema<unknown, v.InferOutput<v.ObjectSchema<S, undefined>>> =>
  v.pipe(knownNames([...Object.keys(entries), ...others]), v.object(entries, 'is missing'))

/** An object of strings under any keys. */
export const textRecord = v.pipe(objectOnly, v.record(plainText, plainText, 'must be an object'))

export const list = <S extends v.GenericSchema>(
  schema: S,
  maximum: number,
): v.GenericSchema<unknown, v.InferOutput<S>[]> =>
  v.pipe(v.array(schema, 'must be an array'), v.maxLength(maximum, `must have at most ${String(maximum)} entries`))
