import { InvalidArgumentError, ProtocolError } from '../../../errors.js'

/*
 * XDR (RFC 4506) as libvirt uses it: big-endian, everything padded to four bytes. What is read is never trusted: each length is
 * checked against its limit and against the bytes that are there before anything is made of it.
 */

/** How a type is written and read. */
export interface Codec<T> {
  readonly write: (writer: XdrWriter, value: T) => void
  readonly read: (reader: XdrReader) => T
  /** The fewest bytes that a value takes: a list can't have more items than fit. */
  readonly minBytes: number
}

/** The type of a codec's values. */
export type ValueOf<C> = C extends Codec<infer T> ? T : never

/** The longest text, by libvirt's REMOTE_STRING_MAX. */
const maxTextBytes = 4 * 2 ** 20

const wrong = (reason: string): ProtocolError =>
  new ProtocolError({ reason: `libvirt sent data that can't be read: ${reason}` })

/** Collects the bytes of a request. */
export class XdrWriter {
  #bytes = Buffer.allocUnsafe(256)
  #length = 0

  /** Room for so many bytes; answers where it begins. */
  reserve(count: number): number {
    const at = this.#length
    this.#length += count
    if (this.#length > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#length, 2 * this.#bytes.length))
      this.#bytes.copy(larger, 0, 0, at)
      this.#bytes = larger
    }
    return at
  }

  /** The memory behind {@link reserve}; another after each call of it. */
  get memory(): Buffer {
    return this.#bytes
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  uint(value: number): void {
    const at = this.reserve(4)
    this.#bytes.writeUInt32BE(value >>> 0, at)
  }

  /** Bytes, and zeros up to a multiple of four. */
  padded(bytes: Uint8Array): void {
    const padding = -bytes.length & 3
    const at = this.reserve(bytes.length + padding)
    this.#bytes.set(bytes, at)
    this.#bytes.fill(0, at + bytes.length, at + bytes.length + padding)
  }
}

/** Reads the bytes of an answer. */
export class XdrReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  /** The next bytes: a view, not a copy. */
  take(count: number): Buffer {
    if (count > this.left) throw wrong(`it ends ${String(count - this.left)} bytes too early`)
    const from = this.#at
    this.#at += count
    return this.#bytes.subarray(from, this.#at)
  }

  uint(): number {
    if (this.left < 4) throw wrong('it ends too early')
    const value = this.#bytes.readUInt32BE(this.#at)
    this.#at += 4
    return value
  }

  length(limit: number, what: string): number {
    const length = this.uint()
    if (length > limit) throw wrong(`${what} of ${String(length)}, where at most ${String(limit)} are allowed`)
    return length
  }

  padded(count: number): Buffer {
    const bytes = this.take(count)
    this.take(-count & 3)
    return bytes
  }
}

const codec = <T>(minBytes: number, write: Codec<T>['write'], read: Codec<T>['read']): Codec<T> => ({
  minBytes,
  write,
  read,
})

export const uint: Codec<number> = codec(
  4,
  (writer, value) => {
    writer.uint(value)
  },
  (reader) => reader.uint(),
)

export const int: Codec<number> = codec(4, uint.write, (reader) => reader.uint() | 0)

/** A `bool`, or an `int` that is used as one. */
export const bool: Codec<boolean> = codec(
  4,
  (writer, value) => {
    writer.uint(value ? 1 : 0)
  },
  (reader) => reader.uint() !== 0,
)

/** 64 bits. */
export const hyper: Codec<bigint> = codec(
  8,
  (writer, value) => {
    const at = writer.reserve(8)
    writer.memory.writeBigInt64BE(BigInt.asIntN(64, value), at)
  },
  (reader) => reader.take(8).readBigInt64BE(),
)

export const uhyper: Codec<bigint> = codec(8, hyper.write, (reader) => reader.take(8).readBigUInt64BE())

export const double: Codec<number> = codec(
  8,
  (writer, value) => {
    const at = writer.reserve(8)
    writer.memory.writeDoubleBE(value, at)
  },
  (reader) => reader.take(8).readDoubleBE(),
)

/** UTF-8. Other bytes, which a name of another client's may have, are read as U+FFFD. */
export const string: Codec<string> = codec(
  4,
  (writer, value) => {
    const bytes = Buffer.from(value)
    if (bytes.length > maxTextBytes) throw tooLong(bytes.length)
    writer.uint(bytes.length)
    writer.padded(bytes)
  },
  (reader) => reader.padded(reader.length(maxTextBytes, 'a text')).toString(),
)

const tooLong = (length: number): InvalidArgumentError =>
  new InvalidArgumentError({
    path: 'request',
    reason: `a text of ${String(length)} bytes is too long: libvirt takes ${String(maxTextBytes)}`,
  })

const tooMany = (count: number, limit: number): InvalidArgumentError =>
  new InvalidArgumentError({
    path: 'request',
    reason: `a list of ${String(count)} is too long: libvirt takes ${String(limit)}`,
  })

/** The 16 bytes of a UUID, as text. */
export const uuid: Codec<string> = codec(
  16,
  (writer, value) => {
    const bytes = Buffer.from(value.replaceAll('-', ''), 'hex')
    if (bytes.length !== 16) throw new InvalidArgumentError({ path: 'id', reason: `${value} is no UUID` })
    writer.padded(bytes)
  },
  (reader) =>
    reader
      .take(16)
      .toString('hex')
      .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
)

/** `char name[count]`, each of which takes four bytes; up to its first NUL. */
export const fixedChars = (count: number): Codec<string> =>
  codec(
    4 * count,
    (writer, value) => {
      const bytes = Buffer.alloc(count)
      bytes.write(value)
      for (const byte of bytes) writer.uint(byte)
    },
    (reader) => {
      const bytes = Buffer.from(Array.from({ length: count }, () => reader.uint() & 0xff))
      const end = bytes.indexOf(0)
      return bytes.toString('utf8', 0, end === -1 ? count : end)
    },
  )

/** `char data<limit>`, each of which takes four bytes. */
export const charList = (limit: number): Codec<Buffer> => {
  const items = list(uint, limit)
  return codec(
    4,
    (writer, value) => {
      items.write(writer, [...value])
    },
    (reader) => Buffer.from(items.read(reader)),
  )
}

export function list<T>(item: Codec<T>, limit: number): Codec<readonly T[]> {
  return codec(
    4,
    (writer, values) => {
      if (values.length > limit) throw tooMany(values.length, limit)
      writer.uint(values.length)
      for (const value of values) item.write(writer, value)
    },
    (reader) => {
      const count = reader.length(limit, 'a list')
      if (count * item.minBytes > reader.left) throw wrong(`a list of ${String(count)} has no room for its items`)
      const values: T[] = []
      for (let index = 0; index < count; index += 1) values.push(item.read(reader))
      return values
    },
  )
}

/** A pointer, which may be null. */
export const optional = <T>(inner: Codec<T>): Codec<T | undefined> =>
  codec(
    4,
    (writer, value) => {
      writer.uint(value === undefined ? 0 : 1)
      if (value !== undefined) inner.write(writer, value)
    },
    (reader) => (reader.length(1, 'a mark of a pointer') === 0 ? undefined : inner.read(reader)),
  )

type FieldsOf<F> = { readonly [K in keyof F]: ValueOf<F[K]> }

/** The fields in their order. */
export function struct<F extends { readonly [K in keyof F]: Codec<ValueOf<F[K]>> }>(fields: F): Codec<FieldsOf<F>> {
  const entries = Object.entries(fields) as [keyof F & string, Codec<unknown>][]
  const minBytes = entries.reduce((total, [, field]) => total + field.minBytes, 0)
  return codec(
    minBytes,
    (writer, value) => {
      for (const [name, field] of entries) field.write(writer, value[name])
    },
    (reader) => {
      const value: Record<string, unknown> = {}
      for (const [name, field] of entries) value[name] = field.read(reader)
      return value as FieldsOf<F>
    },
  )
}
