import { expect, test } from 'vitest'
import { keyEvents } from '../../../src/drivers/parallels/key-events.js'
import { keyCodes } from '../../../src/model/keys.js'

const codes = (keys: Parameters<typeof keyEvents>[0]): readonly (readonly [number, string])[] =>
  keyEvents(keys).map(({ key, event }) => [key, event])

test('keys of one chord are pressed in order, and released in the reverse', () => {
  expect(codes([['ControlLeft', 'AltLeft', 'Delete']])).toEqual([
    [37, 'press'],
    [64, 'press'],
    [107, 'press'],
    [107, 'release'],
    [64, 'release'],
    [37, 'release'],
  ])
})

test('a text is typed as on a US keyboard', () => {
  expect(codes('q!')).toEqual([
    [24, 'press'],
    [24, 'release'],
    [50, 'press'],
    [10, 'press'],
    [10, 'release'],
    [50, 'release'],
  ])
})

test('every key has a code of its own', () => {
  const pressed = keyCodes.map((key) => keyEvents([key])[0]!.key)
  expect(pressed.every((code) => code > 8 && code < 256)).toBe(true)
  expect(new Set(pressed).size).toBe(keyCodes.length)
})
