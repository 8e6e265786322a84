import { HostError } from '../errors.js'

/** Error for a reader that has fallen behind by more than the buffer: the read fails instead of leaving a gap. */
export function consoleOverrun(driver: string, lostBytes: number): HostError {
  const message = `${String(lostBytes)} bytes of the console were overwritten before they were read`
  return new HostError({
    reason: message,
    hint: 'Read the console as fast as the guest writes, or open it again to go on with what is kept.',
    native: { driver, message },
  })
}
