import { embeddedError } from './embedded-errors.js'
import type { LiveVm } from './live-vm.js'
import { isGone } from './machine/is-gone.js'

/** What is typed into a VM that goes is lost with it; that it has gone, its console says by ending. */
export async function typeInto(live: LiveVm, bytes: Uint8Array): Promise<void> {
  try {
    await live.machine.sendSerial(bytes)
  } catch (error) {
    if (!isGone(error)) throw embeddedError(error)
  }
}
