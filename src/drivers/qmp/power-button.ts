import { setTimeout as delay } from 'node:timers/promises'
import { QmpConnectionError, QmpTimeoutError } from './protocol/qmp-errors.js'

/** A guest that is starting or busy may miss a press, so it is repeated over two minutes, each time after twice the pause. */
const firstPauseMs = 500
const presses = 9

interface PowerButton {
  /** True while this QEMU runs: the button of a later one must not be pressed. */
  readonly isOn: () => boolean
  /** Resolves when the QEMU is gone, or the VM is not watched any more. */
  readonly ended: Promise<void>
  readonly press: () => Promise<unknown>
  /** Whether the QEMU has announced its end: it may hang then, and is ended by those who watch it. */
  readonly isEnding: () => Promise<boolean>
  /** Aborted when the end is not waited for any more: then the button is not pressed again. */
  readonly givenUp: AbortSignal
}

/** Presses the power button of a guest until its QEMU is gone, for any reason. */
export async function pressUntilOff({ isOn, ended, press, isEnding, givenUp }: PowerButton): Promise<void> {
  const off = new AbortController()
  const hasEnded = ended.then(() => {
    off.abort()
  })
  const waiting = AbortSignal.any([off.signal, givenUp])
  for (let count = 0; count < presses && isOn() && !givenUp.aborted; count += 1) {
    try {
      await press()
    } catch (error) {
      // A guest that is gone needs no press, and a QEMU that is busy has had one already.
      const isEnough = error instanceof QmpConnectionError || (error instanceof QmpTimeoutError && count > 0)
      if (!isEnough && !(await isEnding())) throw error
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
