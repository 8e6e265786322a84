import { connect, type Socket } from 'node:net'
import { GuestUnavailableError } from '../errors.js'
import { nativeErrorOf } from '../errors/native.js'

/** A guest that boots does not answer, and what it was sent is lost: after this time, a further connection is tried beside the others. */
const patienceMs = 1000
/** Longest wait for an ssh server to say anything. */
const timeoutMs = 10_000

interface Address {
  readonly host: string
  readonly port: number
}

/**
 * Connects to an ssh server. Only a server that speaks counts as connected: a port forward of QEMU takes connections also if nothing
 * listens in the guest.
 *
 * @throws GuestUnavailableError, `retryable`
 */
export async function openGuestSocket(address: Address, driver: string, signal: AbortSignal): Promise<Socket> {
  signal.throwIfAborted()
  const tried = new Set<Socket>()
  let timer: NodeJS.Timeout | undefined
  let stop: (() => void) | undefined
  try {
    const answering = await new Promise<Socket>((resolve, reject) => {
      const deadline = performance.now() + timeoutMs
      stop = () => {
        reject(signal.reason as Error)
      }
      signal.addEventListener('abort', stop)
      const dial = (): void => {
        if (performance.now() >= deadline) {
          reject(unavailable(`no ssh server has answered within ${String(timeoutMs / 1000)} s`, driver))
          return
        }
        const socket = connect({ ...address, noDelay: true })
        tried.add(socket)
        const listeners = {
          readable: () => {
            // It is also told at the end.
            if (socket.readableLength === 0) return
            for (const [event, listener] of Object.entries(listeners)) socket.off(event, listener)
            resolve(socket)
          },
          error: (error: Error) => {
            reject(unavailable(`its ssh server can't be reached: ${error.message}`, driver, error))
          },
          close: () => {
            reject(unavailable('its ssh server closes the connection at once, or there is none', driver))
          },
        }
        for (const [event, listener] of Object.entries(listeners)) socket.on(event, listener)
        timer = setTimeout(dial, patienceMs)
      }
      dial()
    })
    tried.delete(answering)
    return answering
  } finally {
    clearTimeout(timer)
    if (stop !== undefined) signal.removeEventListener('abort', stop)
    for (const socket of tried) {
      socket.on('error', () => undefined)
      socket.destroy()
    }
  }
}

/** Error for a guest whose ssh server can't be reached. */
export const unavailable = (reason: string, driver: string, cause?: unknown): GuestUnavailableError =>
  new GuestUnavailableError({
    reason,
    hint: 'Wait until it is up with vm.guest.waitUntilReady(), and check the host and the port of the setting `guest`.',
    retryable: true,
    cause,
    ...(cause !== undefined && { native: nativeErrorOf(driver, cause) }),
  })
