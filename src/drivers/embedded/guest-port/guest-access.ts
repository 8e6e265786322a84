import { GuestUnavailableError } from '../../../errors.js'
import type { GuestWay } from '../../../guest/guest-way.js'
import type { LiveAction } from '../embedded-access.js'

/** Makes an action in a guest one on the VM: programs run by the guest program. */
export const inGuest =
  <T>(action: (way: GuestWay) => Promise<T>): LiveAction<T> =>
  (live, { guest }) => {
    if (guest?.way === 'none') throw noWay()
    return action({
      vm: live.id,
      driver: 'embedded',
      run: (program, io, signal) => live.port.run(program, io, signal),
    })
  }

const noWay = (): GuestUnavailableError =>
  new GuestUnavailableError({
    reason: "spec.guest is { way: 'none' }",
    hint: 'Make a VM without that setting, and boot a Linux with an initrd.',
  })
