import { ProtocolError } from '../../../errors.js'
import { int, optional, string, struct, uuid, XdrReader } from './xdr.js'

const domainReference = struct({ name: string, uuid, id: int })
const networkReference = struct({ name: string, uuid })

const payload = struct({
  code: int,
  domain: int,
  message: optional(string),
  level: int,
  dom: optional(domainReference),
  str1: optional(string),
  str2: optional(string),
  str3: optional(string),
  int1: int,
  int2: int,
  net: optional(networkReference),
})

/** What libvirt answers if it can't do what was asked. */
export class RemoteError extends Error {
  /** `virErrorNumber`: 42 if there is no such domain. */
  readonly code: number
  /** `virErrorDomain`, the part of libvirt that failed: 7 is the RPC itself. */
  readonly domain: number
  /** Of code 38, the errno. */
  readonly errno: number

  constructor(error: {
    readonly code: number
    readonly domain: number
    readonly message: string
    readonly errno: number
  }) {
    super(error.message)
    this.name = 'RemoteError'
    this.code = error.code
    this.domain = error.domain
    this.errno = error.errno
  }
}

/** Characters of libvirt's words that an error keeps. */
const maxWords = 2000

/** The error in a reply, or that its bytes are no error. */
export function remoteErrorOf(bytes: Buffer): RemoteError | ProtocolError {
  try {
    const { code, domain, message, int1 } = payload.read(new XdrReader(bytes))
    const words = (message ?? `libvirt's error ${String(code)}`).slice(0, maxWords)
    return new RemoteError({ code, domain, message: words, errno: int1 })
  } catch (error) {
    return error instanceof ProtocolError ? error : new ProtocolError({ reason: String(error), cause: error })
  }
}
