import { createHash } from 'node:crypto'

/** cloud-init would keep only the first of two lists otherwise. Of what is no list, the earlier part counts. */
const mergeType = 'list(append)+dict(no_replace,recurse_list)+str()'
/** The longest line of base64 (RFC 2045, section 6.8). */
const base64Line = /.{1,76}/g

/**
 * Several texts for cloud-init as one MIME message; one of them as it is. cloud-init finds the kind of each part from its first line.
 * The parts are base64, since cloud-init decodes other encodings wrongly if there is more than ASCII in them.
 */
export function mergedParts(parts: readonly string[]): string {
  const [first] = parts
  if (first !== undefined && parts.length === 1) return first
  const boundary = `awaitvm-${createHash('sha256').update(JSON.stringify(parts)).digest('hex')}`
  return [
    'MIME-Version: 1.0',
    `Content-Type: multipart/mixed; boundary="${boundary}"`,
    '',
    ...parts.flatMap((part) => [
      `--${boundary}`,
      'Content-Type: text/plain; charset="utf-8"',
      'Content-Transfer-Encoding: base64',
      `Merge-Type: ${mergeType}`,
      '',
      ...(Buffer.from(part).toString('base64').match(base64Line) ?? []),
    ]),
    `--${boundary}--`,
    '',
  ].join('\n')
}
