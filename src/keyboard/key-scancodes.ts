import type { Keys } from '../model/keys.js'
import { keyChords } from './key-chords.js'
import { chordScancodes } from './scancodes.js'

/** The scancodes that a PS/2 keyboard sends for the keys. */
export const keyScancodes = (keys: Keys): number[] => keyChords(keys).flatMap(chordScancodes)
