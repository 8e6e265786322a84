import { ProtocolError } from '../../../../errors.js'
import type { RpcConnection } from '../connection.js'
import { authenticateBySasl, type SaslOptions } from './sasl.js'

/** `remote_auth_type` */
const none = 0
const sasl = 1
const polkit = 2

/** Logs in, in the way that libvirt wants. libvirt takes no other call before it was asked for the way. */
export async function authenticate(rpc: RpcConnection, options: SaslOptions): Promise<void> {
  const { types } = await rpc.call('auth_list', {})
  if (types.includes(none)) return
  // It answers once the user was asked, if there is anyone to ask.
  if (types.includes(polkit)) await rpc.call('auth_polkit', {})
  else if (types.includes(sasl)) await authenticateBySasl(rpc, options)
  else throw new ProtocolError({ reason: `libvirt wants a login of the unknown type ${types.join(', ')}` })
}
