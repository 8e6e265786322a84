import { open } from 'node:fs/promises'
import { createConnection, type IpcNetConnectOpts, type Socket } from 'node:net'
import { join } from 'node:path'
import type { DuplexOptions } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { isExhaustion } from '../../../errors/errno.js'
import { errorCode } from '../../../errors/native.js'
import { QmpConnectionError, QmpTimeoutError } from '../protocol/qmp-errors.js'

/** The shortest limit for a socket path, that of macOS, without the terminating zero. Node truncates longer paths. */
const maxPathBytes = 103
/** How long to wait if the socket's queue of connections is full. */
const retryMs = 5

/**
 * Connects to a socket in a folder, however long the folder's path is.
 *
 * @param buffered how many bytes may wait here to be read or to be sent, if not as many as usual
 */
export async function connectSocket(
  folder: string,
  name: string,
  timeoutMs: number,
  buffered?: number,
): Promise<Socket> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    try {
      return await connectOnce(folder, name, buffered)
    } catch (error) {
      if (errorCode(error) !== 'EAGAIN') {
        // A lack of resources in this process says nothing about QEMU.
        throw isExhaustion(error) ? error : new QmpConnectionError(`there is no connection to ${name}`, error)
      }
      if (performance.now() > deadline) throw new QmpTimeoutError('the connection', timeoutMs)
      await delay(retryMs)
    }
  }
}

async function connectOnce(folder: string, name: string, buffered: number | undefined): Promise<Socket> {
  const path = join(folder, name)
  if (Buffer.byteLength(path) <= maxPathBytes) return connected(createConnection(optionsOf(path, buffered)))
  // Through a descriptor of the folder, the path is short.
  const handle = await open(folder, 'r')
  try {
    return await connected(createConnection(optionsOf(`/proc/self/fd/${String(handle.fd)}/${name}`, buffered)))
  } finally {
    await handle.close()
  }
}

/** The declaration of Node's options lacks the one that a socket has as a stream. */
const optionsOf = (path: string, highWaterMark: number | undefined): IpcNetConnectOpts & DuplexOptions => ({
  path,
  ...(highWaterMark !== undefined && { highWaterMark }),
})

const connected = (socket: Socket): Promise<Socket> =>
  new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
  })
