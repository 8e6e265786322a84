import { isDeepStrictEqual } from 'node:util'

/** Compares two values as JSON would write them: an absent key and an undefined one are the same. */
export const isSame = (one: unknown, other: unknown): boolean =>
  one === other || isDeepStrictEqual(JSON.parse(JSON.stringify(one)), JSON.parse(JSON.stringify(other)))
