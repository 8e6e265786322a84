import type { KeptShare } from '../../../model/share.js'
import type { QemuOptions } from '../disks/disk-chain.js'
import { inSlot } from '../hardware/machine.js'

/** The slot before those of the seed and the balloon. */
const slot = '0x1d'

/**
 * QEMU's arguments for the folders that the guest sees by 9p. They are the functions of one PCI device, so that they take one slot,
 * and disks have the same slots with and without them.
 */
export const shareDevices = (shares: readonly KeptShare[], machine: string): string[] =>
  shares.flatMap((share, index) => {
    const id = `share${String(index)}`
    const device: QemuOptions = {
      driver: 'virtio-9p-pci',
      id,
      fsdev: id,
      mount_tag: share.tag,
      multifunction: true,
      ...inSlot(machine, undefined),
      addr: `${slot}.${String(index)}`,
    }
    return ['-fsdev', fileSystem(id, share), '-device', JSON.stringify(device)]
  })

/** `remap`: folders of several file systems have files with the same numbers, which the guest would take for one file. */
const fileSystem = (id: string, { path, readOnly }: KeptShare): string =>
  [
    `local,id=${id},path=${path.replaceAll(',', ',,')}`,
    `security_model=${securityModel(readOnly)}`,
    'multidevs=remap',
    ...(readOnly ? ['readonly=on'] : []),
  ].join(',')

/**
 * With `none`, a file is the same on both sides, links and permissions included; only owners are not the guest's. A QEMU that runs as
 * root would also give files to root with the set-user-ID bit, and make devices, as the guest likes: other users of the host could use
 * them. With `mapped-xattr`, owners, permissions and kinds of files of the guest are extended attributes on the host, and nothing more.
 */
const securityModel = (readOnly: boolean): string => (!readOnly && process.geteuid?.() === 0 ? 'mapped-xattr' : 'none')
