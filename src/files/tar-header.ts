/*
 * Headers of tar archives that GNU tar and busybox read alike: those of POSIX.1-1988 (ustar) with the names as bytes, and with GNU's
 * entries for names of more than 100 bytes and GNU's numbers for sizes of 8 GiB and more. busybox ignores the headers of POSIX.1-2001
 * (pax), which most libraries write for such names.
 */

/** The size of a header, and what each content is filled up to. */
export const tarBlock = 512

/** What is told of one file in an archive. */
export interface TarEntry {
  readonly type: 'file' | 'directory' | 'symlink' | 'link'
  /** Its path, with slashes, below the folder that is packed. */
  readonly path: string
  /** The permissions. */
  readonly mode: number
  /** In whole seconds since 1970. */
  readonly mtime: number
  /** The size of the content, which follows the header; 0 but for a file. */
  readonly size: number
  /** Where a link leads to: for `'link'`, a hard link, the path of an earlier file in the archive. */
  readonly target?: string | undefined
}

const typeFlags = { file: '0', link: '1', symlink: '2', directory: '5' } as const
const maxName = 100
const longLink = '././@LongLink'

/** The bytes before the content of an entry. */
export function tarHeader({ type, path, mode, mtime, size, target = '' }: TarEntry): Buffer {
  const name = Buffer.from(type === 'directory' ? `${path}/` : path)
  const link = Buffer.from(target)
  return Buffer.concat([
    ...(link.length > maxName ? longText('K', link) : []),
    ...(name.length > maxName ? longText('L', name) : []),
    block({ flag: typeFlags[type], name, link, mode, mtime, size }),
  ])
}

/** An entry for a file with a short text. */
export function tarText({ path, text }: { readonly path: string; readonly text: string }): Buffer {
  const content = Buffer.from(text)
  const size = content.length
  return Buffer.concat([
    tarHeader({ type: 'file', path, mode: 0o600, mtime: 0, size }),
    content,
    Buffer.alloc(tarPadding(size)),
  ])
}

/** The end of an archive: two empty blocks. */
export const tarEnd = (): Buffer => Buffer.alloc(2 * tarBlock)

/** What fills a content up to whole blocks. */
export const tarPadding = (size: number): number => (tarBlock - (size % tarBlock)) % tarBlock

function longText(flag: string, text: Buffer): Buffer[] {
  const size = text.length + 1
  const content = Buffer.alloc(size + tarPadding(size))
  text.copy(content)
  return [block({ flag, name: Buffer.from(longLink), link: Buffer.alloc(0), mode: 0o644, mtime: 0, size }), content]
}

interface Block {
  readonly flag: string
  readonly name: Buffer
  readonly link: Buffer
  readonly mode: number
  readonly mtime: number
  readonly size: number
}

function block({ flag, name, link, mode, mtime, size }: Block): Buffer {
  const header = Buffer.alloc(tarBlock)
  name.copy(header, 0, 0, maxName)
  writeNumber(header, 100, 8, mode)
  // Root, since the numbers of this machine mean nothing in the guest.
  writeNumber(header, 108, 8, 0)
  writeNumber(header, 116, 8, 0)
  writeNumber(header, 124, 12, size)
  writeNumber(header, 136, 12, mtime)
  header.write(flag, 156, 'latin1')
  link.copy(header, 157, 0, maxName)
  header.write('ustar  \0', 257, 'latin1')
  header.write(`${checksum(header).toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return header
}

/** Octal digits, or for numbers that need too many of them GNU's form: the number in base 256, with the first bit set. */
function writeNumber(header: Buffer, offset: number, length: number, value: number): void {
  const digits = value.toString(8)
  if (value >= 0 && digits.length < length) {
    header.write(digits.padStart(length - 1, '0'), offset, 'latin1')
    return
  }
  let rest = BigInt.asUintN(8 * length, BigInt(value))
  for (let index = length - 1; index >= 0; index -= 1) {
    header[offset + index] = Number(rest & 0xffn)
    rest >>= 8n
  }
  if (value >= 0) header[offset] = 0x80
}

/** The sum of the bytes of a header, its own field read as spaces. */
export function checksum(header: Buffer): number {
  let sum = 8 * 0x20
  for (let at = 0; at < tarBlock; at += 1) sum += at >= 148 && at < 156 ? 0 : (header[at] ?? 0)
  return sum
}
