import { keyCodes } from 'awaitvm'
import { expect, test } from 'vitest'
import { chordScancodes, textChords } from '../../../src/keyboard/scancodes.js'

test('a chord is pressed in order and released in reverse order', () => {
  expect(chordScancodes(['ControlLeft', 'AltLeft', 'Delete'])).toEqual([0x1d, 0x38, 0xe0, 0x53, 0xe0, 0xd3, 0xb8, 0x9d])
  expect(chordScancodes(['ArrowUp'])).toEqual([0xe0, 0x48, 0xe0, 0xc8])
  expect(chordScancodes(['F12'])).toEqual([0x58, 0xd8])
})

test('every key has codes of its own', () => {
  expect(new Set(keyCodes.map((key) => chordScancodes([key]).join())).size).toBe(keyCodes.length)
})

test('printable ASCII can be typed, and no character outside the layout', () => {
  const printable = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index)).join('')
  expect(textChords(`${printable}\t\n\b`)).toHaveLength(98)
  expect(textChords('aB1!\n')).toEqual([
    ['KeyA'],
    ['ShiftLeft', 'KeyB'],
    ['Digit1'],
    ['ShiftLeft', 'Digit1'],
    ['Enter'],
  ])
  expect(textChords('naïve')).toBeUndefined()
  expect(textChords('ſ')).toBeUndefined()
  expect(textChords('')).toEqual([])
})
