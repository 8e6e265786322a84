import type { KeptShare } from '../../../model/share.js'
import type { QemuOptions } from '../disks/disk-chain.js'
import { inSlot } from '../hardware/machine.js'
import { companionFiles } from '../process/companion-files.js'
import { virtiofsdName } from './virtiofsd.js'

/** The slot before those of the seed and the balloon. */
const slot = '0x1d'

/**
 * QEMU's arguments for the folders that the guest sees. They are the functions of one PCI device, so that they take one slot, and disks
 * have the same slots with and without them.
 */
export const shareDevices = (vm: string, shares: readonly KeptShare[], machine: string): string[] =>
  shares.flatMap((share, index) => {
    const id = `share${String(index)}`
    const { words, device } = share.type === '9p' ? by9p(id, share) : byVirtiofs(id, virtiofsdName(vm, share), share)
    const place = { ...inSlot(machine, undefined), addr: `${slot}.${String(index)}`, multifunction: true }
    return [...words, '-device', JSON.stringify({ id, ...device, ...place })]
  })

interface Way {
  /** What the device is connected to. */
  readonly words: readonly string[]
  readonly device: QemuOptions
}

const by9p = (id: string, share: KeptShare): Way => ({
  words: ['-fsdev', fileSystem(id, share)],
  device: { driver: 'virtio-9p-pci', fsdev: id, mount_tag: share.tag },
})

const byVirtiofs = (id: string, daemon: string, { tag }: KeptShare): Way => ({
  words: ['-chardev', `socket,id=${id},path=${companionFiles(daemon).socket}`],
  device: { driver: 'vhost-user-fs-pci', chardev: id, tag },
})

const memory = 'share-memory'

/** The memory of a machine that virtiofsd reads and writes; none if it has no use for it. */
export function sharedMemory(
  shares: readonly KeptShare[],
  startedMiB: number,
): { readonly machineOptions: string[]; readonly words: string[] } {
  if (shares.every(({ type }) => type === '9p')) return { machineOptions: [], words: [] }
  const object = { 'qom-type': 'memory-backend-memfd', id: memory, size: startedMiB * 2 ** 20, share: true }
  return { machineOptions: [`memory-backend=${memory}`], words: ['-object', JSON.stringify(object)] }
}

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
