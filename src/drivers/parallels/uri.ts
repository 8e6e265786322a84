import * as v from 'valibot'
import { InvalidArgumentError } from '../../errors.js'
import { requireKnownOptions } from '../../model/uri-options.js'
import { decodedPart } from '../../model/uri-part.js'

/** The options of a URI. */
export interface ParallelsAddress {
  /** Absent for this machine. */
  readonly ssh:
    { readonly host: string; readonly user: string | undefined; readonly port: number | undefined } | undefined
  readonly prlctl: string
  readonly queryTimeoutMs: number
  readonly changeTimeoutMs: number
  readonly listEveryMs: number
  /** A file with the settings of the ssh client, in place of the user's own. */
  readonly sshConfig: string | undefined
}

const milliseconds = v.pipe(
  v.string(),
  v.regex(/^\d{1,9}$/, 'must be a number of milliseconds'),
  v.transform(Number),
  v.minValue(1, 'must be at least 1'),
)

const querySchema = v.strictObject({
  prlctl: v.optional(v.pipe(v.string(), v.minLength(1, 'must not be empty')), 'prlctl'),
  queryTimeoutMs: v.optional(milliseconds, '60000'),
  changeTimeoutMs: v.optional(milliseconds, '600000'),
  listEveryMs: v.optional(milliseconds, '10000'),
  sshConfig: v.optional(v.pipe(v.string(), v.minLength(1, 'must not be empty'))),
})

/** Parses `parallels:` and `parallels+ssh://user@host:port`, with options in the query. */
export function addressOf(uri: URL): ParallelsAddress {
  const isRemote = uri.protocol === 'parallels+ssh:'
  const shape = isRemote ? 'parallels+ssh://USER@HOST' : 'parallels:'
  if (
    uri.hash !== '' ||
    uri.password !== '' ||
    !['', '/'].includes(uri.pathname) ||
    isRemote !== (uri.hostname !== '')
  ) {
    throw wrong(`it does not have the form ${shape}`, 'Leave a password out: ssh uses a key.')
  }
  requireKnownOptions(uri, Object.keys(querySchema.entries), 'uri')
  const query = v.safeParse(querySchema, Object.fromEntries(uri.searchParams))
  if (!query.success) {
    const [{ path, message }] = query.issues
    throw wrong(`its option "${String(path?.[0]?.key)}" ${message}`)
  }
  const { sshConfig, ...options } = query.output
  // ssh would take a leading dash for an option.
  const host = decodedPart(uri.hostname, 'host').replace(/^\[(.*)\]$/, '$1')
  const user = uri.username === '' ? undefined : decodedPart(uri.username, 'user')
  if (host.startsWith('-') || user?.startsWith('-') === true) throw wrong(`it does not have the form ${shape}`)
  const port = uri.port === '' ? undefined : Number(uri.port)
  return { ...options, sshConfig, ssh: isRemote ? { host, user, port } : undefined }
}

const wrong = (reason: string, hint?: string): InvalidArgumentError =>
  new InvalidArgumentError({ path: 'uri', reason, ...(hint !== undefined && { hint }) })
