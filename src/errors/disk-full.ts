import { InsufficientResourcesError, type NativeError } from '../errors.js'

/** Problem of a VM that is paused because the host has no room for what its guest writes. */
export const diskFull = (native?: NativeError): InsufficientResourcesError =>
  new InsufficientResourcesError({
    reason: 'the host has no room for what its guest writes to a disk',
    hint: 'Make room in the directory of the VMs, then call vm.resume().',
    native,
  })
