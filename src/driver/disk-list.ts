import { InvalidArgumentError } from '../errors.js'
import type { DiskConfig } from '../model/vm-config.js'

/**
 * The disk with the id.
 *
 * @throws InvalidArgumentError if the VM has no such disk
 */
export function requireDisk<D extends Pick<DiskConfig, 'id'>>(disks: readonly D[], id: string): D {
  const disk = disks.find((candidate) => candidate.id === id)
  if (disk !== undefined) return disk
  throw new InvalidArgumentError({
    path: 'diskId',
    reason: `diskId is ${JSON.stringify(id)}, and the VM has no disk with that id`,
    hint: 'vm.refresh() lists its disks.',
  })
}
