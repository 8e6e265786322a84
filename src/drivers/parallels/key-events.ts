import { keyChords } from '../../keyboard/key-chords.js'
import { chordScancodes } from '../../keyboard/scancodes.js'
import type { KeyCode, Keys } from '../../model/keys.js'

/** One entry of the input of `send-key-event`. */
export interface KeyEvent {
  /** One of the SDK's PRL_KEY_* codes. */
  readonly key: number
  readonly event: 'press' | 'release'
  /** Milliseconds until the next entry. */
  readonly delay: number
}

/** Long enough for a guest to notice each key. */
const delay = 20

/** Codes of the keys whose scancodes begin with 0xE0, by the second byte. */
const extendedKeys: Readonly<Record<number, number>> = {
  0x1c: 108,
  0x1d: 109,
  0x35: 112,
  0x37: 92,
  0x38: 113,
  0x47: 97,
  0x48: 98,
  0x49: 99,
  0x4b: 100,
  0x4d: 102,
  0x4f: 103,
  0x50: 104,
  0x51: 105,
  0x52: 106,
  0x53: 107,
  0x5b: 115,
  0x5c: 116,
  0x5d: 117,
}

/** The code of any other key is its scancode of set 1 plus 8. */
function prlKeyOf(key: KeyCode): number {
  const [first = 0, second = 0] = chordScancodes([key])
  return first === 0xe0 ? (extendedKeys[second] ?? 0) : first + 8
}

/** The input of `send-key-event` for the keys. */
export const keyEvents = (keys: Keys): readonly KeyEvent[] =>
  keyChords(keys).flatMap((chord) => {
    const codes = chord.map(prlKeyOf)
    return [
      ...codes.map((key): KeyEvent => ({ key, event: 'press', delay })),
      ...codes.toReversed().map((key): KeyEvent => ({ key, event: 'release', delay })),
    ]
  })
