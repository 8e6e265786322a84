import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LineSplitter, LineTooLongError } from '../../src/line-splitter.js'

test('lines come out whole, however the bytes are cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'binary' }), { maxLength: 20 }),
      fc.array(fc.integer({ min: 1, max: 5 })),
      (texts, cuts) => {
        const lines = texts.map((text) => text.replaceAll(/[\r\n]/g, ' '))
        const bytes = Buffer.from(lines.map((line) => `${line}\r\n`).join(''))
        const splitter = new LineSplitter(bytes.byteLength + 1)
        const found: string[] = []
        for (let at = 0, turn = 0; at < bytes.byteLength; turn += 1) {
          const to = at + (cuts[turn % Math.max(1, cuts.length)] ?? 3)
          found.push(...splitter.push(bytes.subarray(at, to)))
          at = to
        }
        expect(found).toEqual(lines.map((line) => Buffer.from(line).toString()))
      },
    ),
  )
})

test('a line without its end waits for it', () => {
  const splitter = new LineSplitter(100)
  expect(splitter.push(Buffer.from('half'))).toEqual([])
  expect(splitter.push(Buffer.from(' a line\nand'))).toEqual(['half a line'])
  expect(splitter.push(Buffer.from('\n'))).toEqual(['and'])
})

test('a line that is too long is refused before it is kept, in one piece and in many', () => {
  const splitter = new LineSplitter(10)
  expect(() => splitter.push(Buffer.alloc(11, 'x'))).toThrow(LineTooLongError)
  expect(splitter.push(Buffer.from('0123456789\n'))).toEqual(['0123456789'])
  splitter.push(Buffer.from('012345'))
  expect(() => splitter.push(Buffer.from('678901'))).toThrow('more than 10 bytes')
})

test('a reset drops what has come of a line', () => {
  const splitter = new LineSplitter(100)
  splitter.push(Buffer.from('garbage'))
  splitter.reset()
  expect(splitter.push(Buffer.from('good\n'))).toEqual(['good'])
})
