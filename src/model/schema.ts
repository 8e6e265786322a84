import * as v from 'valibot'

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

const objectOnly = v.custom<object>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'must be an object',
)
const message = ({ expected }: v.BaseIssue<unknown>): string =>
  expected === 'never' ? 'is not a known setting' : 'is missing'

/** An object of these keys and no others. */
export const object = <S extends v.ObjectEntries>(
  entries: S,
): v.GenericSchema<unknown, v.InferOutput<v.ObjectSchema<S, undefined>>> =>
  v.pipe(objectOnly, v.strictObject(entries, message))

/** These keys of an object, whatever others it has. */
export const keysOf = <S extends v.ObjectEntries>(
  entries: S,
): v.GenericSchema<unknown, v.InferOutput<v.ObjectSchema<S, undefined>>> =>
  v.pipe(objectOnly, v.object(entries, message))

/** An object of strings under any keys. */
export const textRecord = v.pipe(objectOnly, v.record(plainText, plainText, 'must be an object'))

export const list = <S extends v.GenericSchema>(
  schema: S,
  maximum: number,
): v.GenericSchema<unknown, v.InferOutput<S>[]> =>
  v.pipe(v.array(schema, 'must be an array'), v.maxLength(maximum, `must have at most ${String(maximum)} entries`))
