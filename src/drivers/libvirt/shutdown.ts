import { backoffMs } from '../../driver/backoff.js'
import type { LibvirtHost } from './libvirt-host.js'

/** A guest that is starting or busy may miss a press, so it is repeated over two minutes, each time after twice the pause. */
const pauses = { initialMs: 500, maxMs: 60_000 }

/**
 * Presses the button of a VM until something is answered.
 *
 * @param look what is waited for, or `undefined`; asked after each press and whenever libvirt tells something of the VM
 * @param givenUp aborted when it is not waited for any more: then the button is not pressed again
 */
export async function pressUntil<T>(
  host: LibvirtHost,
  vm: string,
  { press, look, givenUp }: { press: () => Promise<unknown>; look: () => Promise<T | undefined>; givenUp: AbortSignal },
): Promise<T> {
  for (let presses = 1; ; presses += 1) {
    const answer = await pressOnce(host, vm, { press, look, signal: givenUp }, backoffMs(presses, pauses))
    if (answer !== undefined) return answer
    givenUp.throwIfAborted()
  }
}

async function pressOnce<T>(
  host: LibvirtHost,
  vm: string,
  { press, look, signal }: { press: () => Promise<unknown>; look: () => Promise<T | undefined>; signal: AbortSignal },
  pauseMs: number,
): Promise<T | undefined> {
  const over = new AbortController()
  const end = (): void => {
    over.abort()
  }
  const timer = setTimeout(end, pauseMs)
  signal.addEventListener('abort', end)
  try {
    // Watched from before the press on: the guest may be faster than the answer.
    let told = host.untilTold(vm, over.signal)
    await press()
    while (!over.signal.aborted) {
      const answer = await look()
      if (answer !== undefined) return answer
      await told
      told = host.untilTold(vm, over.signal)
    }
    return undefined
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', end)
    over.abort()
  }
}
