import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { AuthenticationError, ProtocolError } from '../../../../errors.js'

const derive = promisify(pbkdf2)

/** Rounds that a server may ask for: more would only keep this process busy. */
const maxIterations = 1_000_000

const bytes = 32

/**
 * The client's half of SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding: the password is never sent, and the server has
 * to prove that it knows it, too.
 */
export class ScramClient {
  readonly #password: string
  readonly #nonce: string
  /** `n=user,r=nonce` */
  readonly #bare: string
  #signature: Buffer | undefined

  /** @param nonce printable, without a comma; drawn at random if absent */
  constructor(user: string, password: string, nonce = randomBytes(18).toString('base64')) {
    this.#password = password
    this.#nonce = nonce
    this.#bare = `n=${user.replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${nonce}`
  }

  /** The first message. */
  get first(): string {
    return `n,,${this.#bare}`
  }

  /** The answer to the server's challenge. */
  async answer(challenge: string): Promise<string> {
    const { r: nonce = '', s: salt = '', i: rounds = '' } = attributesOf(challenge)
    const iterations = Number(rounds)
    if (!nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length) {
      throw new ProtocolError({ reason: "the server's challenge is not for this login" })
    }
    if (!Number.isInteger(iterations) || iterations < 1 || iterations > maxIterations) {
      throw new ProtocolError({ reason: `the server asks for ${JSON.stringify(rounds)} rounds of the password's hash` })
    }
    const salted = await derive(
      this.#password.normalize('NFKC'),
      Buffer.from(salt, 'base64'),
      iterations,
      bytes,
      'sha256',
    )
    const clientKey = hmac(salted, 'Client Key')
    // "biws" is "n,,": no channel is bound.
    const withoutProof = `c=biws,r=${nonce}`
    const login = `${this.#bare},${challenge},${withoutProof}`
    const proof = hmac(createHash('sha256').update(clientKey).digest(), login)
    for (const [index, byte] of clientKey.entries()) proof[index] = (proof[index] ?? 0) ^ byte
    this.#signature = hmac(hmac(salted, 'Server Key'), login)
    return `${withoutProof},p=${proof.toString('base64')}`
  }

  /**
   * Checks the server's proof.
   * @throws AuthenticationError if it does not know the password
   */
  verify(message: string): void {
    const { v: proof = '', e: refusal } = attributesOf(message)
    const given = Buffer.from(proof, 'base64')
    if (this.#signature?.length === given.length && timingSafeEqual(this.#signature, given)) return
    throw new AuthenticationError({
      reason:
        refusal === undefined ? 'the server could not prove that it knows the password' : `the server says: ${refusal}`,
      hint: 'Another machine may pose as the host. Check its address and certificate.',
    })
  }
}

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()

/** `r=nonce,s=salt,i=4096` */
const attributesOf = (message: string): Readonly<Record<string, string | undefined>> =>
  Object.fromEntries(message.split(',').flatMap((part) => (part[1] === '=' ? [[part.charAt(0), part.slice(2)]] : [])))
