import { closedBeforeSending } from '../../../errors/closed.js'
import { ConnectionError } from '../../../errors.js'
import type { LibvirtAddress } from '../libvirt-uri.js'
import { authenticate } from './auth/authenticate.js'
import { credentialsFor } from './auth/auth-file.js'
import type { Credentials } from './auth/sasl.js'
import { RpcConnection } from './connection.js'
import { handledEvents, type EventHandlers } from './event-messages.js'
import type { Dialer } from './transports/dialer.js'

/** `VIR_DRV_FEATURE_PROGRAM_KEEPALIVE`: a daemon that is asked for it looks from then on whether its client is there. */
const keepaliveFeature = 10

/** Longest time for a daemon to let a client in, as long as for {@link RpcConnection.keepAlive}, which watches it from then on. */
const patienceMs = 30_000

/** Connects to a daemon, logs in, opens its hypervisor, and registers for the events that have a handler. */
export async function openConnection(
  dialer: Dialer,
  address: LibvirtAddress,
  signal: AbortSignal,
  events: EventHandlers = {},
): Promise<RpcConnection> {
  const rpc = new RpcConnection(await dialer.dial(signal), events)
  const abort = (): void => {
    rpc.destroy(closedBeforeSending(signal.reason))
  }
  signal.addEventListener('abort', abort)
  let late = giveUpLater(rpc)
  try {
    signal.throwIfAborted()
    const isPrivate = address.transport !== 'tcp'
    const waitForPerson = (): void => {
      clearTimeout(late)
    }
    await authenticate(rpc, { credentials: () => credentialsOf(address), isPrivate, waitForPerson })
    clearTimeout(late)
    late = giveUpLater(rpc)
    const { supported } = await rpc.call('connect_supports_feature', { feature: keepaliveFeature })
    if (supported) {
      clearTimeout(late)
      rpc.keepAlive()
    }
    await rpc.call('connect_open', { name: address.name, flags: 0 })
    for (const name of handledEvents(events)) await rpc.listenTo(name)
    return rpc
  } catch (error) {
    rpc.destroy(closedBeforeSending(error))
    signal.throwIfAborted()
    throw error
  } finally {
    clearTimeout(late)
    signal.removeEventListener('abort', abort)
  }
}

/** Ends the connection to a daemon that takes it, and then says nothing: one that is stopped, for example. */
const giveUpLater = (rpc: RpcConnection): NodeJS.Timeout =>
  setTimeout(() => {
    const reason = `libvirt has taken the connection, and has not answered for ${String(patienceMs / 1000)} s`
    const hint = 'Look whether the daemon hangs; start it again if it does.'
    rpc.destroy(new ConnectionError({ reason, hint, native: { driver: 'libvirt', message: reason } }))
  }, patienceMs)

/** Of the URI, or else of libvirt's file for them. */
async function credentialsOf({ remote, options }: LibvirtAddress): Promise<Credentials | undefined> {
  const { user, password } = remote ?? {}
  if (user !== undefined && password !== undefined) return { user, password }
  return await credentialsFor(remote?.host ?? 'localhost', options['authfile'])
}
