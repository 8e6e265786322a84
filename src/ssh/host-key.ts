import { createHash } from 'node:crypto'
import type { ConnectConfig } from 'ssh2'
import { AuthenticationError } from '../errors.js'

/** No type of a key has a longer name. */
const maxTypeLength = 64

/** The types whose signatures have names of their own. */
const signaturesOf: ReadonlyMap<string, readonly string[]> = new Map([['ssh-rsa', ['rsa-sha2-512', 'rsa-sha2-256']]])

/** A public key as in a file of public keys: `ssh-ed25519 AAAA…`. The type is the first string in it. */
export function publicKey(key: Buffer): string {
  const length = key.length < 4 ? 0 : Math.min(key.readUInt32BE(0), maxTypeLength)
  return `${key.toString('latin1', 4, 4 + length)} ${key.toString('base64')}`
}

/** Asks a server for the key that is pinned, of the several that it has. */
export function hostKeyAlgorithms(hostKey: string | undefined): ConnectConfig['algorithms'] {
  const [type] = hostKey?.split(' ') ?? []
  if (type === undefined) return {}
  // The library has a closed list of names, and refuses others itself.
  return { serverHostKey: [...(signaturesOf.get(type) ?? [type])] as never[] }
}

/** The key for a message, as ssh-keygen -l names it: `the host key SHA256:…` */
export const keyName = (hostKey = ''): string => {
  const digest = createHash('sha256').update(Buffer.from(hostKey.split(' ')[1] ?? '', 'base64'))
  return `the host key SHA256:${digest.digest('base64').replace(/=+$/, '')}`
}

/** Error for a guest with another host key than the pinned one. */
export const foreignKey = (found: string, pinned: string | undefined): AuthenticationError =>
  new AuthenticationError({
    reason: `its guest has ${found}, and ${keyName(pinned)} is pinned`,
    hint: 'Another machine may answer in its place. If the guest has a new key, pin that with vm.edit({ guest }).',
  })
