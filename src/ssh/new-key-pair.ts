import { generateKeyPairSync, randomBytes } from 'node:crypto'

/** A key pair in OpenSSH's formats. */
export interface KeyPair {
  /** `ssh-ed25519 AAAA…` */
  readonly publicKey: string
  /** Without a passphrase. */
  readonly privateKey: string
}

const type = 'ssh-ed25519'
/** As many characters as ssh-keygen writes in a line. */
const pemLine = /.{1,70}/g
/** The block size of no cipher (PROTOCOL.key of OpenSSH). */
const blockBytes = 8

/**
 * A new Ed25519 key pair. It is written by PROTOCOL.key of OpenSSH, since the generator of ssh2 1.17 makes a pair that can't be used in
 * three of a thousand cases (measured).
 */
export function newKeyPair(): KeyPair {
  const { x = '', d = '' } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' })
  const [point, seed] = [Buffer.from(x, 'base64url'), Buffer.from(d, 'base64url')]
  const publicBlob = Buffer.concat([string(type), string(point)])
  const check = randomBytes(4)
  const secret = [check, check, publicBlob, string(Buffer.concat([seed, point])), string('')]
  const whole = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    ...[string('none'), string('none'), string('')],
    uint32(1),
    string(publicBlob),
    string(padded(Buffer.concat(secret))),
  ])
  const lines = whole.toString('base64').match(pemLine) ?? []
  return {
    publicKey: `${type} ${publicBlob.toString('base64')}`,
    privateKey: ['-----BEGIN OPENSSH PRIVATE KEY-----', ...lines, '-----END OPENSSH PRIVATE KEY-----', ''].join('\n'),
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function string(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([uint32(bytes.length), bytes])
}

/** Followed by the bytes 1, 2, 3 and so on. */
function padded(bytes: Buffer): Buffer {
  const missing = (blockBytes - (bytes.length % blockBytes)) % blockBytes
  return Buffer.concat([bytes, Buffer.from(Array.from({ length: missing }, (_, index) => index + 1))])
}
