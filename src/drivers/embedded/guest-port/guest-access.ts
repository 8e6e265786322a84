import { GuestUnavailableError } from '../../../errors.js'
import type { GuestWay } from '../../../guest/guest-way.js'
import type { Definition } from '../definition.js'
import type { LiveAction } from '../embedded-access.js'
import { bootKind } from '../hardware.js'

/** Makes an action in a guest one on the VM: programs run by the guest program. */
export const inGuest =
  <T>(action: (way: GuestWay) => Promise<T>): LiveAction<T> =>
  (live, definition) => {
    const reason = whyNoWay(definition)
    if (reason !== undefined) {
      throw new GuestUnavailableError({
        reason,
        hint: 'Make a VM that boots a Linux with an initrd.',
        retryable: false,
      })
    }
    return action({
      vm: live.id,
      driver: 'embedded',
      run: (program, io, signal) => live.port.run(program, io, signal),
    })
  }

/** Why the guest will never have the guest program. */
function whyNoWay({ guest, hardware }: Definition): string | undefined {
  if (guest?.way === 'none') return "spec.guest is { way: 'none' }"
  return bootKind(hardware) === 'guest' ? 'the built-in guest runs no programs' : undefined
}
