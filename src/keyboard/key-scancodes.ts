import { InvalidArgumentError } from '../errors.js'
import type { Keys } from '../model/keys.js'
import { chordScancodes, textChords } from './scancodes.js'

/** What a PS/2 keyboard sends for the keys. */
export function keyScancodes(keys: Keys): number[] {
  const chords =
    typeof keys === 'string' ? textChords(keys) : keys.map((key) => (typeof key === 'string' ? [key] : key))
  if (chords === undefined) {
    throw new InvalidArgumentError({ path: 'keys', reason: 'the text has characters that a US keyboard does not have' })
  }
  return chords.flatMap(chordScancodes)
}
