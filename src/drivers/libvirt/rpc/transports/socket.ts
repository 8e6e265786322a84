import { once } from 'node:events'
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { errnoError } from '../../../../errors/errno.js'
import { errorCode, nativeErrorOf } from '../../../../errors/native.js'
import { ConnectionError } from '../../../../errors.js'

/** Longest time for a connection to be made. */
const connectTimeoutMs = 20_000

/**
 * Connects a socket.
 *
 * @param what is connected to, for errors: `the socket /run/...`
 * @param hint what to do if nothing answers there
 */
export async function connectSocket(
  options: NetConnectOpts,
  signal: AbortSignal,
  { what, hint }: { readonly what: string; readonly hint: string },
): Promise<Socket> {
  const socket = connect({ ...options, noDelay: true })
  await untilReady(socket, 'connect', signal, (error) => {
    const native = nativeErrorOf('libvirt', error)
    const isRefused = errorCode(error) === 'EACCES'
    const known = isRefused
      ? errnoError(error, { ...native, message: `${what} may not be used by this user` })
      : undefined
    return (
      known ?? new ConnectionError({ reason: `${what} does not answer: ${native.message}`, hint, native, cause: error })
    )
  })
  return socket
}

/** Waits for the event of a socket, and destroys it if that does not come. */
export async function untilReady(
  socket: Socket,
  event: string,
  signal: AbortSignal,
  explain: (error: unknown) => unknown,
): Promise<void> {
  const late = AbortSignal.timeout(connectTimeoutMs)
  const closed = new AbortController()
  const onClose = (): void => {
    closed.abort(new Error('the connection was closed'))
  }
  socket.once('close', onClose)
  try {
    await once(socket, event, { signal: AbortSignal.any([signal, late, closed.signal]) })
  } catch (error) {
    socket.destroy()
    signal.throwIfAborted()
    throw explain(closed.signal.aborted ? closed.signal.reason : late.aborted ? late.reason : error)
  } finally {
    socket.off('close', onClose)
  }
}
