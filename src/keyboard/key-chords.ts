import { InvalidArgumentError } from '../errors.js'
import type { Keys } from '../model/keys.js'
import { textChords, type Chord } from './scancodes.js'

/** The chords to press one after another; a text is typed on a keyboard with the US layout. */
export function keyChords(keys: Keys): readonly Chord[] {
  const chords =
    typeof keys === 'string' ? textChords(keys) : keys.map((key) => (typeof key === 'string' ? [key] : key))
  if (chords === undefined) {
    throw new InvalidArgumentError({ path: 'keys', reason: 'the text has characters that a US keyboard does not have' })
  }
  return chords
}
