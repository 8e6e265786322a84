import { readFile } from 'node:fs/promises'
import { AuthenticationError } from '../errors.js'

/** How to log in to a guest. */
export interface SshLogin {
  readonly host: string
  readonly port: number
  readonly user: string
  /** The path of the private key. */
  readonly privateKeyFile: string
  /** The public key that the guest must have: `ssh-ed25519 AAAA…`; any if absent. */
  readonly hostKey?: string | undefined
}

/** No private key is larger, and a file that is no key may be anything. */
const maxKeyBytes = 64 * 1024

/** The private key of a login. What is in the file is in no error. */
export async function readPrivateKey({ privateKeyFile: path }: SshLogin): Promise<Buffer> {
  const key = await readFile(path).catch((cause: unknown) => {
    throw wrongKey(`the private key ${path} can't be read`, cause)
  })
  if (key.length > maxKeyBytes) throw wrongKey(`${path} is no private key`)
  return key
}

export const wrongKey = (reason: string, cause?: unknown): AuthenticationError =>
  new AuthenticationError({
    reason,
    hint: 'Make a key without a passphrase with ssh-keygen, and name its file with vm.edit({ guest }).',
    cause,
  })
