import { expect, test } from 'vitest'
import { parseQcow2Header } from '../../../src/images/qcow2-header.js'

interface Fields {
  readonly version?: number
  readonly offset?: bigint
  readonly length?: number
  readonly features?: bigint
  readonly name?: string
}

function header({ version = 3, offset = 0n, length = 0, features = 0n, name = '' }: Fields): Buffer {
  const bytes = Buffer.alloc(512)
  bytes.write('QFI\xfb', 'latin1')
  bytes.writeUInt32BE(version, 4)
  bytes.writeBigUInt64BE(offset, 8)
  bytes.writeUInt32BE(length, 16)
  bytes.writeBigUInt64BE(2n ** 20n, 24)
  bytes.writeBigUInt64BE(features, 72)
  bytes.write(name, 256)
  return bytes
}

test('a header tells the backing file, and whether the data are in another file', () => {
  expect(parseQcow2Header(header({}))).toEqual({ diskBytes: 2 ** 20, backing: undefined, hasDataFile: false })
  const name = 'base-ä.qcow2'
  const upon = header({ offset: 256n, length: Buffer.byteLength(name), name })
  expect(parseQcow2Header(upon)).toEqual({ diskBytes: 2 ** 20, backing: name, hasDataFile: false })
  expect(parseQcow2Header(header({ features: 4n }))?.hasDataFile).toBe(true)
  // In version 2 there are no features at that place.
  expect(parseQcow2Header(header({ version: 2, features: 4n }))?.hasDataFile).toBe(false)
})

test.each<[string, Buffer]>([
  ['nothing', Buffer.alloc(0)],
  ['another format', Buffer.alloc(512)],
  ['a version that is not known', header({ version: 4 })],
  ['a name that ends behind the end', header({ offset: 500n, length: 20 })],
  ['a name that begins nowhere', header({ offset: 2n ** 63n, length: 1 })],
  ['a name that is too long', header({ offset: 72n, length: 1024 })],
  ['half a header', header({}).subarray(0, 75)],
])('%s is no header', (_what, bytes) => {
  expect(parseQcow2Header(bytes)).toBeUndefined()
})
