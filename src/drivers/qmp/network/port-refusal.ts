import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, Server } from 'node:net'
import { errorCode, nativeErrorOf } from '../../../errors/native.js'
import { HostError, PermissionDeniedError, ResourceBusyError, type VmError } from '../../../errors.js'
import type { KeptForward } from '../../../network/kept-adapter.js'

/** Why QEMU could not listen on a port: it only says that it could not, and so the system is asked again. */
export async function portRefusal({ protocol, hostAddress }: KeptForward, port: number): Promise<VmError> {
  const cause = await failureToListen(protocol, hostAddress, port)
  const where = `${port === 0 ? 'a' : 'the'} ${protocol} port ${port === 0 ? '' : `${String(port)} `}of ${hostAddress}`
  const native = nativeErrorOf('qmp', cause ?? `Could not listen on ${where}`)
  switch (errorCode(cause)) {
    case 'EACCES':
      return new PermissionDeniedError({
        reason: `${where} may not be listened on`,
        hint: 'Ports below 1024 are for privileged users: choose another hostPort, or leave it out to have a free one.',
        native,
        cause,
      })
    case 'EADDRINUSE':
    case undefined:
      return new ResourceBusyError({
        reason: `${where} is taken`,
        hint: 'Choose another hostPort, or leave it out to have a free one.',
        native,
        cause,
      })
    default:
      return new HostError({
        reason: `${where} can't be listened on: ${native.message}`,
        hint: 'The hostAddress must be one of this computer.',
        native,
        cause,
      })
  }
}

async function failureToListen(protocol: 'tcp' | 'udp', address: string, port: number): Promise<unknown> {
  const socket = protocol === 'tcp' ? createServer() : createSocket('udp4')
  try {
    if (socket instanceof Server) socket.listen({ port, host: address })
    else socket.bind({ port, address })
    await once(socket, 'listening')
    return undefined
  } catch (error) {
    return error
  } finally {
    socket.close()
  }
}
