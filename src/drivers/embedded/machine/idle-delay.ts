import { wallClockMs } from '../../../clock.js'
import type { Rtc } from './emulator-internals.js'

/** The milliseconds to sleep that v86's main loop returns if no timer of the guest is due sooner. */
const longestDelayMs = 100
/** The milliseconds to sleep if no timer is due by then. Interrupts of devices wake the machine at once. */
export const longIdleDelayMs = 500
/** A sleep takes about this long to end. */
const wakeUpMs = 0.05

/** Nobody writes to it: a wait on it ends by its timeout. */
const never = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))

/**
 * The milliseconds after which the main loop is to run again, for the `delay` that it returned. Timers of Node drop fractions of a
 * millisecond. v86 would spend those in a busy loop, a quarter of all time for a Linux with 250 ticks a second, so they are slept
 * here: messages to the thread wait that long.
 */
export function idleDelay(delay: number, rtc: Rtc): number {
  if (delay > wakeUpMs && delay < 1) {
    Atomics.wait(never, 0, 0, delay)
    return 0
  }
  if (delay < longestDelayMs) return delay
  const dueMs = nextOf(rtc) - wallClockMs()
  return Math.max(longestDelayMs, Math.min(longIdleDelayMs, dueMs))
}

/** When the clock interrupts next, as a `Date` counts; infinity if never. Only its interrupts may be that far away. */
function nextOf(rtc: Rtc): number {
  return Math.min(
    rtc.periodic_interrupt ? rtc.next_interrupt : Infinity,
    rtc.next_interrupt_alarm > 0 ? rtc.next_interrupt_alarm : Infinity,
    rtc.update_interrupt ? rtc.update_interrupt_time : Infinity,
  )
}
