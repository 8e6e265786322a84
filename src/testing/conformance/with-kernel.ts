import { GuestLacksError } from './guest.js'
import type { Trial } from './trial.js'

/** The kernel of the host's guest. */
export const withKernel = ({ profile }: Trial): string => {
  const kernel = profile.specWithDisk.boot?.kernel
  if (kernel === undefined) throw new GuestLacksError('the guest of the host has no kernel')
  return kernel
}
