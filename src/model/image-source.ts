import { isAbsolute } from 'node:path'
import * as v from 'valibot'
import { object, optional, plainText, type EntriesOf } from './schema.js'

/** An image that is fetched, and the checksum that it must have: one of the two. */
export interface ImageDownload {
  /** URL by https or http. A name and a password in it are used, and not shown in messages. */
  readonly url: string
  /**
   * The SHA-256 of the file in hexadecimal digits; or the URL of the vendor's list that has it, such as Ubuntu's `SHA256SUMS` or
   * Fedora's `CHECKSUM`, by https.
   */
  readonly sha256?: string | undefined
  /** The SHA-512 likewise; Debian's lists are `SHA512SUMS`. */
  readonly sha512?: string | undefined
}

/** True for the name of an image that is fetched. */
export const isUrl = (image: string): boolean => /^https?:\/\//i.test(image)

/** Hosts that only this computer answers for. */
const isOwnComputer = (url: URL): boolean =>
  url.hostname === 'localhost' || url.hostname === '[::1]' || /^127(\.\d+){3}$/.test(url.hostname)

/** True for a URL whose answer nobody on the way can change: a checksum from elsewhere would prove nothing. */
const isTrusted = (text: string): boolean => {
  if (!URL.canParse(text)) return false
  const url = new URL(text)
  return url.protocol === 'https:' || (url.protocol === 'http:' && isOwnComputer(url))
}

const digest = (algorithm: string, digits: number) =>
  v.pipe(
    plainText,
    v.check(
      (text) => (text.length === digits && /^[0-9a-f]+$/i.test(text)) || isTrusted(text),
      `must be the ${String(digits)} hexadecimal digits of a ${algorithm}, or the https URL of a list that has them`,
    ),
  )

/** The settings with the checksum of an image. */
export const checksumEntries = {
  sha256: optional(digest('SHA-256', 64)),
  sha512: optional(digest('SHA-512', 128)),
} satisfies EntriesOf<Omit<ImageDownload, 'url'>>

export const diskImageSchema = v.pipe(
  plainText,
  v.check(
    (image) => isAbsolute(image) || (isUrl(image) && URL.canParse(image)),
    'must be an absolute path (use path.resolve()), or a URL of https or http',
  ),
)

/** What is wrong with the checksums that an image was given; `undefined` if nothing is. */
export function checksumProblem(
  isFetched: boolean,
  { sha256, sha512 }: Omit<ImageDownload, 'url'>,
): string | undefined {
  const given = [sha256, sha512].filter((checksum) => checksum !== undefined)
  if (given.length > 1) return 'has both a sha256 and a sha512, and one is enough'
  if (isFetched && given.length === 0) return 'needs a sha256 or a sha512, since its image is fetched'
  return isFetched || given.length === 0 ? undefined : 'has a checksum, which only an image that is fetched can have'
}

/** An image to fetch, with one checksum. */
export const downloadSchema = v.pipe(
  object({
    url: v.pipe(
      plainText,
      v.check((url) => isUrl(url) && URL.canParse(url), 'must be a URL of https or http'),
    ),
    ...checksumEntries,
  } satisfies EntriesOf<ImageDownload>),
  v.check(
    (image) => checksumProblem(true, image) === undefined,
    ({ input }) => checksumProblem(true, input) ?? '',
  ),
)
