import { setTimeout as delay } from 'node:timers/promises'
import { QmpConnectionError } from './protocol/qmp-errors.js'

/** A guest that is only starting, or busy, may miss a press: there are more, at twice the distance each, over two minutes. */
const firstPauseMs = 500
const presses = 9

/** Presses the power button until the VM is off, by whatever cause. */
export async function pressUntilOff(ended: Promise<void>, press: () => Promise<unknown>): Promise<void> {
  const off = new AbortController()
  const hasEnded = ended.then(() => {
    off.abort()
  })
  try {
    for (let count = 0; count < presses; count += 1) {
      await press()
      await delay(firstPauseMs * 2 ** count, undefined, { signal: off.signal })
    }
  } catch (error) {
    // A guest that has gone meanwhile needs no button.
    if (!off.signal.aborted && !(error instanceof QmpConnectionError)) throw error
  }
  await hasEnded
}
