import { InvalidArgumentError } from '../../../../errors.js'
import type { LibvirtAddress } from '../../libvirt-uri.js'
import type { Dialer } from './dialer.js'
import { extDialer } from './ext.js'
import { sshDialer } from './ssh.js'
import { tcpDialer } from './tcp.js'
import { tlsDialer } from './tls.js'
import { unixDialer } from './unix.js'

/** What makes the connections that a URI asks for. */
export async function dialerFor(address: LibvirtAddress): Promise<Dialer> {
  const { transport, remote, options } = address
  if (transport === 'unix') return unixDialer(address)
  if (transport === 'ext') return extDialer(options['command'] ?? '')
  if (remote === undefined) throw new InvalidArgumentError({ path: 'uri', reason: `+${transport} needs a host` })
  if (transport === 'tcp') return tcpDialer(remote)
  return transport === 'tls' ? tlsDialer(remote, address) : await sshDialer(remote, address)
}
