import { open } from 'node:fs/promises'
import { createConnection, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isExhaustion } from '../../../errors/errno.js'
import { errorCode } from '../../../errors/native.js'
import { QmpConnectionError, QmpTimeoutError } from '../protocol/qmp-errors.js'

/** The shortest of the limits that systems have for the path of a socket, macOS's, less its end. Node cuts a longer one off. */
const maxPathBytes = 103
/** How long to wait where as many as QEMU takes are waiting in line already. */
const retryMs = 5

/** Connects to a socket in a folder, however long the folder's path is. */
export async function connectSocket(folder: string, name: string, timeoutMs: number): Promise<Socket> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    try {
      return await connectOnce(folder, name)
    } catch (error) {
      if (errorCode(error) !== 'EAGAIN') {
        // That this process has run out of something says nothing of the other end.
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
  // By way of a descriptor of the folder, any path is short; QEMU itself is started inside the folder.
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
