import { isDeepStrictEqual } from 'node:util'

/** Of two values as they are written down: a key that is absent and one that is undefined are the same. */
export const isSame = (one: unknown, other: unknown): boolean =>
  isDeepStrictEqual(JSON.parse(JSON.stringify(one)), JSON.parse(JSON.stringify(other)))
