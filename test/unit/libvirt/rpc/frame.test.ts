import { ProtocolError } from 'awaitvm'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { frameBytes, FrameParser, type Frame } from '../../../../src/drivers/libvirt/rpc/frame.js'

const header = { program: 0x2000_8086, procedure: 23, type: 1, serial: 7, status: 0 }

function parse(pieces: readonly Buffer[]): Frame[] {
  const parser = new FrameParser()
  const frames: Frame[] = []
  for (const piece of pieces)
    parser.push(piece, (frame) => frames.push({ ...frame, payload: Buffer.from(frame.payload) }))
  return frames
}

test('a frame has its length and a header of 24 bytes before its content', () => {
  expect(frameBytes(header, Buffer.from('abcd')).toString('hex')).toBe(
    '00000020 20008086 00000001 00000017 00000001 00000007 00000000 61626364'.replaceAll(' ', ''),
  )
})

test('frames are found however they arrive', () => {
  const payloads = fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(payloads, fc.array(fc.nat({ max: 2000 }), { maxLength: 30 }), (contents, cuts) => {
      const frames = contents.map((payload, serial) => ({ ...header, serial, payload: Buffer.from(payload) }))
      const bytes = Buffer.concat(frames.map((frame) => frameBytes(frame, frame.payload)))
      const ends = [...new Set(cuts.map((cut) => cut % bytes.length)), bytes.length].sort((a, b) => a - b)
      const pieces = ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
      expect(parse(pieces)).toEqual(frames)
    }),
  )
})

test.each([27, 0, 32 * 2 ** 20 + 5, 0xffff_ffff, Buffer.from('HTTP').readUInt32BE()])(
  'a length of %i is a ProtocolError at once, and nothing of that size is kept',
  (length) => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(length)
    expect(() => parse([bytes])).toThrow(ProtocolError)
  },
)

test('the longest frame is taken', () => {
  const payload = Buffer.alloc(32 * 2 ** 20 + 4 - 28)
  expect(parse([frameBytes(header, payload)])[0]?.payload.length).toBe(payload.length)
})
