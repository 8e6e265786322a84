import { expect, test } from 'vitest'
import { ConsoleBuffer, type ConsoleReader } from '../../../src/console/console-buffer.js'

const text = (reader: ConsoleReader, maxBytes?: number) => {
  const { bytes, lostBytes } = reader.read(maxBytes)
  return [Buffer.from(bytes).toString(), lostBytes]
}

test('each reader has its own position', () => {
  const buffer = new ConsoleBuffer(8)
  const first = buffer.reader()
  buffer.append(Buffer.from('abc'))
  const second = buffer.reader('end')
  const third = buffer.reader(1)
  buffer.append(Buffer.from('de'))
  expect(text(first, 2)).toEqual(['ab', 0])
  expect(first.offset).toBe(2)
  expect(text(first)).toEqual(['cde', 0])
  expect(text(first)).toEqual(['', 0])
  expect(text(second)).toEqual(['de', 0])
  expect(text(third)).toEqual(['bcde', 0])
})

test('a reader that falls behind is told how much it lost', () => {
  const buffer = new ConsoleBuffer(8)
  const reader = buffer.reader()
  for (let index = 0; index < 26; index++) buffer.append(Buffer.from(String.fromCharCode(97 + index)))
  expect([buffer.startOffset, buffer.endOffset]).toEqual([18, 26])
  expect(text(reader)).toEqual(['stuvwxyz', 18])
  buffer.append(Buffer.from('0123456789ABCDEF'))
  expect(text(reader)).toEqual(['89ABCDEF', 8])
  expect(text(buffer.reader('start'))).toEqual(['89ABCDEF', 0])
  expect(text(buffer.reader(1000))).toEqual(['', 0])
})

test('any order of sizes gives the last bytes', () => {
  const buffer = new ConsoleBuffer(3000)
  let all = ''
  for (let index = 0; index < 200; index++) {
    const piece = String(index).repeat(1 + ((index * 7) % 40))
    all += piece
    buffer.append(Buffer.from(piece))
    expect(text(buffer.reader())[0]).toBe(all.slice(-3000))
  }
  expect(text(buffer.reader(all.length - 10))[0]).toBe(all.slice(-10))
})

test('the listener is told of bytes and of the end, not after close', () => {
  const buffer = new ConsoleBuffer()
  const calls: string[] = []
  const first = buffer.reader()
  const second = buffer.reader()
  first.onReadable(() => calls.push('first'))
  second.onReadable(() => calls.push('second'))
  buffer.append(Buffer.from('x'))
  buffer.append(new Uint8Array(0))
  second.close()
  buffer.append(Buffer.from('y'))
  buffer.close()
  buffer.close()
  buffer.append(Buffer.from('z'))
  expect(calls).toEqual(['first', 'second', 'first', 'first'])
  expect(buffer.closed).toBe(true)
  expect(text(first)).toEqual(['xy', 0])
})
