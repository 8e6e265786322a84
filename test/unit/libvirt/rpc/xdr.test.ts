import { ProtocolError } from 'awaitvm'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  bool,
  charList,
  double,
  fixedChars,
  hyper,
  int,
  list,
  optional,
  string,
  struct,
  uhyper,
  uint,
  uuid,
  XdrReader,
  XdrWriter,
  type Codec,
} from '../../../../src/drivers/libvirt/rpc/xdr.js'
import { typedParameter } from '../../../../src/drivers/libvirt/rpc/typed-parameter.js'

function bytesOf<T>(codec: Codec<T>, value: T): Buffer {
  const writer = new XdrWriter()
  codec.write(writer, value)
  return Buffer.from(writer.bytes)
}

const read = <T>(codec: Codec<T>, hex: string): T =>
  codec.read(new XdrReader(Buffer.from(hex.replaceAll(' ', ''), 'hex')))

const written = <T>(codec: Codec<T>, value: T, hex: string): (() => void) => {
  return () => {
    expect(bytesOf(codec, value).toString('hex')).toBe(hex.replaceAll(' ', ''))
    expect(read(codec, hex)).toEqual(value)
  }
}

test('values are written as RFC 4506 has them, and read again', () => {
  const cases = [
    written(int, -2, 'fffffffe'),
    written(uint, 0xffffffff, 'ffffffff'),
    written(bool, true, '00000001'),
    written(hyper, -1n, 'ffffffffffffffff'),
    written(uhyper, 2n ** 64n - 1n, 'ffffffffffffffff'),
    written(double, 1.5, '3ff8000000000000'),
    written(string, 'é!', '00000003 c3a92100'),
    written(optional(int), undefined, '00000000'),
    written(optional(int), 7, '00000001 00000007'),
    written(list(int, 3), [1, 2], '00000002 00000001 00000002'),
    written(uuid, '6695eb01-f6a4-8304-79aa-97f2502e193f', '6695eb01f6a4830479aa97f2502e193f'),
    written(charList(4), Buffer.from('n,'), '00000002 0000006e 0000002c'),
    written(fixedChars(2), 'x', '00000078 00000000'),
    written(struct({ a: int, b: string }), { a: 1, b: '' }, '00000001 00000000'),
    written(
      typedParameter,
      { field: 'a', value: { type: 4, value: 9n } },
      '00000001 61000000 00000004 0000000000000009',
    ),
  ]
  for (const check of cases) check()
})

test.each([
  ['a text that is longer than what is there', string, '000000ff 61626364'],
  ['a text of 2 GiB', string, '7fffffff'],
  ['a list of a million items in four bytes', list(int, 2 ** 20), '00100000 00000001'],
  ['a list that is longer than allowed', list(int, 2), '00000003 000000010000000200000003'],
  ['a mark of a pointer that is none', optional(int), '00000002 00000001'],
  ['a value of an unknown type', typedParameter, '00000001 61000000 00000009 00000000'],
  ['a number that is cut off', hyper, '00000000 0000'],
  ['nothing', int, ''],
] as [string, Codec<unknown>, string][])('%s is a ProtocolError', (_what, codec, hex) => {
  expect(() => read(codec, hex)).toThrow(ProtocolError)
})

test('what libvirt would refuse is refused before it is sent', () => {
  expect(() => bytesOf(string, 'x'.repeat(4 * 2 ** 20 + 1))).toThrow('is too long')
  expect(() => bytesOf(list(int, 1), [1, 2])).toThrow('is too long')
  expect(() => bytesOf(uuid, 'no-uuid')).toThrow('is no UUID')
})

const everything = struct({
  a: optional(string),
  b: list(struct({ c: uhyper, d: list(typedParameter, 64) }), 64),
  e: uuid,
  f: charList(64),
})

test('any bytes are read, or are a ProtocolError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      try {
        everything.read(new XdrReader(Buffer.from(bytes)))
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError)
      }
    }),
    { numRuns: 5000 },
  )
})

test('any value comes back as it was, and each cut of it is a ProtocolError', () => {
  const value = fc.record({
    a: fc.option(fc.string({ unit: 'grapheme', maxLength: 20 }), { nil: undefined }),
    b: fc.array(
      fc.record({
        c: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        d: fc.array(
          fc.record({
            field: fc.string({ maxLength: 5 }),
            value: fc.record({
              type: fc.constant(3 as const),
              value: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
            }),
          }),
          { maxLength: 4 },
        ),
      }),
      { maxLength: 4 },
    ),
    e: fc.uuid(),
    f: fc.uint8Array({ maxLength: 9 }).map((bytes) => Buffer.from(bytes)),
  })
  fc.assert(
    fc.property(value, fc.nat(), (original, cut) => {
      const bytes = bytesOf(everything, original)
      expect(everything.read(new XdrReader(bytes))).toEqual(original)
      const part = bytes.subarray(0, cut % bytes.length)
      expect(() => everything.read(new XdrReader(part))).toThrow(ProtocolError)
    }),
    { numRuns: 300 },
  )
})
