import type { ByteReader } from './byte-reader.js'
import { checksum, tarBlock, tarPadding, type TarEntry } from './tar-header.js'

/** Error for an archive that breaks the format. */
export class TarError extends Error {}

/** Error for an archive with a file that can't be taken from it. */
export class TarContentError extends Error {}

/** Longest path, by PATH_MAX of Linux. */
const maxPath = 4096
/** Longest header of POSIX.1-2001: it has a path, a target, and short fields. */
const maxPax = 4 * maxPath

/** How many headers an entry may have: one of each kind, and its own. */
const maxHeaders = 5
/** Longest filling after the end: a record of GNU tar has at most 1 MiB or so. */
const maxFilling = 2 ** 20

const types: Readonly<Record<string, TarEntry['type']>> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  '1': 'link',
  '2': 'symlink',
  '5': 'directory',
}

const others: Readonly<Record<string, string>> = { '3': 'a device', '4': 'a device', '6': 'a named pipe' }

/** What the headers before an entry tell of it. */
interface Extension {
  path?: string | undefined
  target?: string | undefined
  size?: number | undefined
  mtime?: number | undefined
}

/**
 * Reads an archive of GNU tar, busybox or another one. The archive is not trusted: what it makes this process keep is bounded. The
 * paths are as the archive has them.
 */
export class TarReader {
  readonly #bytes: ByteReader
  /** What is left of the present content, and its padding. */
  #left = 0
  #padding = 0

  constructor(bytes: ByteReader) {
    this.#bytes = bytes
  }

  /**
   * The next entry; `undefined` at the end.
   *
   * @throws TarError
   */
  async next(): Promise<TarEntry | undefined> {
    const extension: Extension = {}
    for (let headers = 1; headers <= maxHeaders; headers += 1) {
      await this.#skip(this.#left + this.#padding)
      this.#left = 0
      this.#padding = 0
      const header = await this.#exactly(tarBlock)
      if (header.every((byte) => byte === 0)) return undefined
      if (checksum(header) !== numberAt(header, 148, 8)) throw new TarError('its archive has a damaged header')
      const flag = String.fromCharCode(header[156] ?? 0)
      const size = numberAt(header, 124, 12)
      if (flag === 'L') extension.path = text(await this.#extension(size, maxPath + 1))
      else if (flag === 'K') extension.target = text(await this.#extension(size, maxPath + 1))
      else if (flag === 'x') Object.assign(extension, paxFields(await this.#extension(size, maxPax)))
      else if (flag === 'g') await this.#extension(size, maxPax)
      else return this.#entry(header, flag, extension)
    }
    throw new TarError('its archive has headers without a file')
  }

  /** The content of the entry that was read last. */
  async *content(): AsyncGenerator<Buffer> {
    while (this.#left > 0) {
      const piece = await this.#bytes.readSome(this.#left)
      if (piece.length === 0) throw cutShort()
      this.#left -= piece.length
      yield piece
    }
  }

  /** Reads what fills the archive up after its end. */
  async finish(): Promise<void> {
    if ((await this.#bytes.skip(maxFilling + 1)) > maxFilling) throw new TarError('its archive goes on after its end')
  }

  #entry(header: Buffer, flag: string, extension: Extension): TarEntry {
    const path = extension.path ?? shortPath(header)
    const type = types[flag]
    if (type === undefined)
      throw new TarContentError(`${JSON.stringify(path)} is ${others[flag] ?? 'of an unknown kind'}`)
    // Old archives tell a folder by the slash.
    const isFolder = type === 'directory' || (type === 'file' && path.endsWith('/'))
    const size = type === 'file' && !isFolder ? (extension.size ?? numberAt(header, 124, 12)) : 0
    this.#left = size
    this.#padding = tarPadding(size)
    return {
      type: isFolder ? 'directory' : type,
      path,
      mode: numberAt(header, 100, 8) & 0o7777,
      mtime: extension.mtime ?? numberAt(header, 136, 12, { isSigned: true }),
      size,
      ...(type !== 'file' && !isFolder && { target: extension.target ?? text(header.subarray(157, 257)) }),
    }
  }

  /** The content of an entry that tells something of the next one. */
  async #extension(size: number, limit: number): Promise<Buffer> {
    if (size > limit) throw new TarError(`its archive has a name or a header of ${size} bytes`)
    const content = await this.#exactly(size)
    this.#padding = tarPadding(size)
    return content
  }

  async #exactly(length: number): Promise<Buffer> {
    const bytes = await this.#bytes.read(length)
    if (bytes.length < length) throw cutShort()
    return bytes
  }

  async #skip(length: number): Promise<void> {
    if ((await this.#bytes.skip(length)) < length) throw cutShort()
  }
}

const cutShort = (): TarError => new TarError('its archive is cut short')

/** Up to the first NUL. Other bytes than UTF-8 would become another name. */
function text(bytes: Buffer): string {
  const end = bytes.indexOf(0)
  const part = end < 0 ? bytes : bytes.subarray(0, end)
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(part)
  } catch (cause) {
    throw new TarContentError(`it has the name ${JSON.stringify(part.toString())}, which is not UTF-8`, { cause })
  }
}

function shortPath(header: Buffer): string {
  const name = text(header.subarray(0, 100))
  // GNU's own format has other fields in the place of the prefix.
  const isPosix = header.toString('latin1', 257, 263) === 'ustar\0'
  const prefix = isPosix ? text(header.subarray(345, 500)) : ''
  return prefix === '' ? name : `${prefix}/${name}`
}

function numberAt(header: Buffer, offset: number, length: number, { isSigned = false } = {}): number {
  const field = header.subarray(offset, offset + length)
  const first = field[0] ?? 0
  if (first >= 0x80) {
    const bits = BigInt.asIntN(8 * length - 1, BigInt(`0x${field.toString('hex')}`))
    return checked(Number(bits), isSigned)
  }
  const digits = /^[ \0]*([0-7]*)[ \0]*$/.exec(field.toString('latin1'))?.[1]
  if (digits === undefined) throw new TarError('its archive has a damaged header')
  return checked(digits === '' ? 0 : Number.parseInt(digits, 8), isSigned)
}

function checked(value: number, isSigned: boolean): number {
  if (!Number.isSafeInteger(value) || (value < 0 && !isSigned)) {
    throw new TarError('its archive has a number that is too large')
  }
  return value
}

/** The fields of a header of POSIX.1-2001: records of `LENGTH KEY=VALUE` and a line feed. */
function paxFields(content: Buffer): Extension {
  const fields: Extension = {}
  for (let at = 0; at < content.length && content[at] !== 0;) {
    const [digits = ''] = /^\d{1,7} /.exec(content.toString('latin1', at, at + 8)) ?? []
    const length = Number(digits)
    const record = content.subarray(at + digits.length, at + length - 1)
    const equals = record.indexOf('=')
    if (digits === '' || equals < 0 || at + length > content.length)
      throw new TarError('its archive has a damaged header')
    const key = record.toString('latin1', 0, equals)
    const value = record.subarray(equals + 1)
    if (key === 'path') fields.path = text(value)
    else if (key === 'linkpath') fields.target = text(value)
    else if (key === 'size') fields.size = checked(Number(value.toString('latin1')), false)
    else if (key === 'mtime') fields.mtime = checked(Math.floor(Number(value.toString('latin1'))), true)
    at += length
  }
  return fields
}
