import { AuthenticationError } from '../../../../errors.js'
import type { RpcConnection } from '../connection.js'
import type { ResultOf } from '../procedures.js'
import { ScramClient } from './scram.js'

/** Who logs in. */
export interface Credentials {
  readonly user: string
  readonly password: string
}

/** What a login needs to know. */
export interface SaslOptions {
  /** Asked for only if libvirt wants them. */
  readonly credentials: () => Promise<Credentials | undefined>
  /** Whether others on the way can't read what is sent. */
  readonly isPrivate: boolean
}

const none = Buffer.alloc(0)

/** Logs in by SCRAM-SHA-256 or PLAIN. */
export async function authenticateBySasl(rpc: RpcConnection, { credentials, isPrivate }: SaslOptions): Promise<void> {
  if (!isPrivate) {
    throw new AuthenticationError({
      reason: 'libvirt wants a password on a connection that is not encrypted',
      hint: 'Connect with +tls or +ssh, which libvirt itself demands for passwords.',
    })
  }
  const { mechlist } = await rpc.call('auth_sasl_init', {})
  const offered = mechlist.split(/[\s,]+/).map((name) => name.toUpperCase())
  const known = await credentials()
  if (known === undefined) {
    throw new AuthenticationError({
      reason: 'libvirt wants a user and a password',
      hint: 'Put them into the file that LIBVIRT_AUTH_FILE or ?authfile= names, or into the URI.',
    })
  }
  if (offered.includes('SCRAM-SHA-256')) await byScram(rpc, known)
  else if (offered.includes('PLAIN')) await byPlain(rpc, known)
  else {
    throw new AuthenticationError({
      reason: `libvirt takes ${mechlist}, none of which awaitvm has`,
      hint: "Add scram-sha-256 to mech_list in the host's /etc/sasl2/libvirt.conf.",
    })
  }
}

async function byPlain(rpc: RpcConnection, { user, password }: Credentials): Promise<void> {
  const data = Buffer.from(`\0${user}\0${password}`)
  requireComplete(await rpc.call('auth_sasl_start', { mech: 'PLAIN', nil: false, data }))
}

async function byScram(rpc: RpcConnection, { user, password }: Credentials): Promise<void> {
  const scram = new ScramClient(user, password)
  const challenge = await rpc.call('auth_sasl_start', {
    mech: 'SCRAM-SHA-256',
    nil: false,
    data: Buffer.from(scram.first),
  })
  const answer = await scram.answer(challenge.data.toString())
  const proof = await rpc.call('auth_sasl_step', { nil: false, data: Buffer.from(answer) })
  scram.verify(proof.data.toString())
  if (!proof.complete) requireComplete(await rpc.call('auth_sasl_step', { nil: true, data: none }))
}

function requireComplete({ complete }: ResultOf<'auth_sasl_step'>): void {
  if (complete) return
  throw new AuthenticationError({ reason: 'libvirt wants more than a user and a password' })
}
