import { unescape } from 'node:querystring'
import { InvalidArgumentError } from '../../errors.js'
import { isUrl, type ImageDownload } from '../../model/image-source.js'
import { askFor, shownUrl, type RequestOptions } from './http-reply.js'

/** What the content of a file must have. */
export interface Checksum {
  readonly algorithm: 'sha256' | 'sha512'
  /** In lower-case hexadecimal digits. */
  readonly digest: string
}

const digits = { sha256: 64, sha512: 128 } as const
/** Lists of vendors have a few KB. */
const maxListBytes = 2 ** 20

/** The checksum of an image that is fetched, from the vendor's list if it is not given. */
export async function checksumOf(image: ImageDownload, options: RequestOptions): Promise<Checksum> {
  const algorithm = image.sha512 === undefined ? 'sha256' : 'sha512'
  const given = image[algorithm] ?? ''
  if (!isUrl(given)) return { algorithm, digest: given.toLowerCase() }
  const list = await readList(new URL(given), options)
  // Unlike decodeURIComponent(), it takes any text.
  const name = unescape(new URL(image.url).pathname.split('/').at(-1) ?? '')
  const digest = findInList(list, name, algorithm)
  if (digest !== undefined) return { algorithm, digest }
  throw new InvalidArgumentError({
    path: options.path,
    reason: `${options.path} can't be fetched: ${shownUrl(given)} has no ${algorithm} of ${JSON.stringify(name)}`,
    hint: 'Name the list that is beside the image, or give the checksum itself.',
  })
}

async function readList(url: URL, options: RequestOptions): Promise<string> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of (await askFor(url, options)).content()) {
    bytes += part.length
    if (bytes > maxListBytes) {
      throw new InvalidArgumentError({
        path: options.path,
        reason: `${options.path} can't be fetched: ${shownUrl(url)} is longer than a list of checksums`,
      })
    }
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

/**
 * The checksum of a file in a list: lines of `DIGEST  NAME` as sha256sum(1) writes them, or of `SHA256 (NAME) = DIGEST`, as Fedora and
 * BSD do. `undefined` if the file is not in it, or with several digests.
 */
export function findInList(list: string, name: string, algorithm: Checksum['algorithm']): string | undefined {
  const found = new Set<string>()
  for (const line of list.split(/\r?\n/)) {
    const [, plain, plainName] = /^([0-9a-f]+) [ *](?:\.\/)?(.+)$/i.exec(line) ?? []
    const [, kind, taggedName, tagged] = /^(SHA\d+) \((.+)\) = ([0-9a-f]+)$/i.exec(line) ?? []
    const isOther = kind !== undefined && kind.toLowerCase() !== algorithm
    const digest = plain ?? tagged
    if (digest?.length !== digits[algorithm] || isOther || (plainName ?? taggedName) !== name) continue
    found.add(digest.toLowerCase())
  }
  const [only, another] = found
  return another === undefined ? only : undefined
}
