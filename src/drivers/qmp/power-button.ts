import { setTimeout as delay } from 'node:timers/promises'
import { isAlive, type ProcessIdentity } from '../../registry/process-identity.js'
import { QmpConnectionError, QmpTimeoutError } from './protocol/qmp-errors.js'

/** A guest that is only starting, or busy, may miss a press: there are more, at twice the distance each, over two minutes. */
const firstPauseMs = 500
const presses = 9

/** Presses the power button of the guest of a QEMU until that is gone, by whatever cause. */
export async function pressUntilOff(
  qemu: ProcessIdentity,
  { ended, press }: { readonly ended: Promise<void>; readonly press: () => Promise<unknown> },
): Promise<void> {
  const off = new AbortController()
  const hasEnded = ended.then(() => {
    off.abort()
  })
  // The button of the next QEMU is not to be pressed.
  for (let count = 0; count < presses && isAlive(qemu); count += 1) {
    try {
      await press()
    } catch (error) {
      // A guest that has gone meanwhile needs no button, and one that was told needs no more while its QEMU is busy.
      const isTold = error instanceof QmpConnectionError || (error instanceof QmpTimeoutError && count > 0)
      if (!isTold) throw error
    }
    await delay(firstPauseMs * 2 ** count, undefined, { signal: off.signal }).catch(() => undefined)
  }
  await hasEnded
}
