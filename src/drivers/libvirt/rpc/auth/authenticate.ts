import { ProtocolError } from '../../../../errors.js'
import type { RpcConnection } from '../connection.js'
import { authenticateBySasl, type SaslOptions } from './sasl.js'

/** How to log in. */
export interface LoginOptions extends SaslOptions {
  /** Called before libvirt may ask a person, whose answer may take any time. */
  readonly waitForPerson: () => void
}

/** `remote_auth_type` */
const none = 0
const sasl = 1
const polkit = 2

/** Logs in, in the way that libvirt wants. libvirt takes no other call before it was asked for the way. */
export async function authenticate(rpc: RpcConnection, options: LoginOptions): Promise<void> {
  const { types } = await rpc.call('auth_list', {})
  if (types.includes(none)) return
  if (types.includes(polkit)) {
    // It answers once the user was asked, if there is anyone to ask.
    options.waitForPerson()
    await rpc.call('auth_polkit', {})
  } else if (types.includes(sasl)) await authenticateBySasl(rpc, options)
  else throw new ProtocolError({ reason: `libvirt wants a login of the unknown type ${types.join(', ')}` })
}
