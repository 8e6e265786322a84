import { setTimeout as delay } from 'node:timers/promises'
import { QmpConnectionError, QmpTimeoutError } from './protocol/qmp-errors.js'

/** A guest that is only starting, or busy, may miss a press: there are more, at twice the distance each, over two minutes. */
const firstPauseMs = 500
const presses = 9

interface PowerButton {
  /** Whether the QEMU is still there: the button of the next one is not to be pressed. */
  readonly isOn: () => boolean
  /** Resolves when the QEMU is gone, or nobody looks any more. */
  readonly ended: Promise<void>
  readonly press: () => Promise<unknown>
  /** Aborted when nobody waits for the end any more: then nothing is pressed either. */
  readonly givenUp: AbortSignal
}

/** Presses the power button of the guest of a QEMU until that is gone, by whatever cause. */
export async function pressUntilOff({ isOn, ended, press, givenUp }: PowerButton): Promise<void> {
  const off = new AbortController()
  const hasEnded = ended.then(() => {
    off.abort()
  })
  const waiting = AbortSignal.any([off.signal, givenUp])
  for (let count = 0; count < presses && isOn() && !givenUp.aborted; count += 1) {
    try {
      await press()
    } catch (error) {
      // A guest that has gone meanwhile needs no button, and one that was told needs no more while its QEMU is busy.
      const isTold = error instanceof QmpConnectionError || (error instanceof QmpTimeoutError && count > 0)
      if (!isTold) throw error
    }
    await delay(firstPauseMs * 2 ** count, undefined, { signal: waiting }).catch(() => undefined)
  }
  await Promise.race([hasEnded, aborted(givenUp)])
  givenUp.throwIfAborted()
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => {
      resolve()
    })
  })
