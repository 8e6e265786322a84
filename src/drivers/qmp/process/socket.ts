import { open } from 'node:fs/promises'
import { createConnection, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isExhaustion } from '../../../errors/errno.js'
import { errorCode } from '../../../errors/native.js'
import { QmpConnectionError, QmpTimeoutError } from '../protocol/qmp-errors.js'

/** The shortest limit for a socket path, that of macOS, without the terminating zero. Node truncates longer paths. */
const maxPathBytes = 103
/** How long to wait if the socket's queue of connections is full. */
const retryMs = 5

/** Connects to a socket in a folder, however long the folder's path is. */
export async function connectSocket(folder: string, name: string, timeoutMs: number): Promise<Socket> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    try {
      return await connectOnce(folder, name)
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

async function connectOnce(folder: string, name: string): Promise<Socket> {
  const path = join(folder, name)
  if (Buffer.byteLength(path) <= maxPathBytes) return connected(createConnection(path))
  // Through a descriptor of the folder, the path is short.
  const handle = await open(folder, 'r')
  try {
    return await connected(createConnection(`/proc/self/fd/${String(handle.fd)}/${name}`))
  } finally {
    await handle.close()
  }
}

const connected = (socket: Socket): Promise<Socket> =>
  new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
  })
