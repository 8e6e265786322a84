import { refuseSettings, unsupported, type HandledSettings } from '../../driver/settings.js'
import { InvalidArgumentError, NotSupportedError } from '../../errors.js'
import type { VmChanges, VmSpec } from '../../model/vm-spec.js'
import { refuseNetworks } from '../../network/network-kinds.js'
import { unwritable } from './xml/xml-writer.js'

type Root = 'spec' | 'changes'

const noForwards = unsupported({
  reason: 'the user network of libvirt forwards no ports',
  hint: "Put the adapter on a network of the host, { hostNetwork: 'default' }, and reach the guest by its address.",
})
const notAsked = unsupported({
  reason: 'awaitvm writes no arguments for QEMU into the XML of libvirt',
  hint: 'Add them with virsh edit: an edit of awaitvm keeps what it does not model.',
})
const noWay = unsupported({
  reason: 'this driver has no way into guests of libvirt yet',
  hint: 'Leave it out.',
})

/** What libvirt does with each setting of a VM. */
const handled: HandledSettings = {
  name: true,
  description: true,
  labels: true,
  ephemeral: unsupported({
    reason: 'libvirt keeps the VMs of a process that was killed',
    hint: 'Delete the VM with vm.delete({ force: true }).',
    values: [true],
  }),
  cpus: true,
  memoryMiB: true,
  disks: { id: true, image: true, sha256: true, sha512: true, sizeMiB: true, bus: true },
  deleteDisks: true,
  cdroms: { image: true, bus: true },
  floppies: { image: true },
  boot: {
    kernel: true,
    initrd: true,
    commandLine: true,
    firmware: true,
    secureBoot: unsupported({
      reason: 'this driver makes no VMs with secure boot on libvirt yet',
      hint: 'Leave it out.',
      values: [true],
    }),
    videoFirmware: unsupported({ reason: 'libvirt chooses the VGA BIOS itself', hint: 'Leave it out.' }),
    order: true,
  },
  architecture: unsupported({
    values: ['aarch64'],
    reason: 'this driver makes VMs of x86_64 only',
    hint: 'Make it with virt-install, and find it with server.getVm().',
  }),
  machine: true,
  native: { arguments: notAsked },
  networkAdapters: { macAddress: true, network: true, outbound: true, portForwards: noForwards },
  cloudInit: true,
  tpm: unsupported({
    reason: 'this driver makes no TPM on libvirt yet',
    hint: 'Leave it out, or add a <tpm> with virsh edit: an edit of awaitvm keeps it.',
    values: [true],
  }),
  shares: unsupported({
    reason: 'this driver does not share folders with guests of libvirt yet',
    hint: 'Leave it out, or add a <filesystem> with virsh edit: an edit of awaitvm keeps it.',
  }),
  guest: noWay,
}

/** libvirt's test driver keeps volumes on paper only. */
const noContent = unsupported({
  reason: "libvirt's test driver keeps nothing in volumes",
  hint: 'Use a host of QEMU: qemu:///system.',
})
const handledInTests: HandledSettings = {
  ...handled,
  disks: { id: true, image: noContent, sha256: noContent, sha512: noContent, sizeMiB: true, bus: true },
  architecture: unsupported({ reason: "libvirt's test driver has one architecture", hint: 'Leave it out.' }),
  machine: unsupported({ reason: "libvirt's test driver has no kinds of machines", hint: 'Leave it out.' }),
  cloudInit: noContent,
}

/**
 * Throws if the settings ask for something that a host of libvirt does not have, or can't keep.
 *
 * @param hypervisor `'qemu'` or `'test'`
 */
export function refuseUnsupported(settings: VmSpec | VmChanges, hypervisor: string, root: Root): void {
  const table = hypervisor === 'test' ? handledInTests : handled
  refuseSettings(settings, table, { driver: 'libvirt', root })
  refuseNetworks(settings, { private: noPrivate }, root)
  refuseClosedUserNetworks(settings, root)
  refuseFirmwareFile(settings, root)
  requireWritable(settings, root)
  if (hypervisor === 'qemu') requireShortName(settings, root)
}

const noPrivate = {
  reason: 'libvirt has networks that its administrator defines, and awaitvm makes none',
  hint: 'Name one: { hostNetwork: NAME }.',
}

/** libvirt's user network lets the guest out, and has no switch for that. */
function refuseClosedUserNetworks({ networkAdapters = [] }: VmChanges, root: Root): void {
  for (const [index, { network = 'user', outbound }] of networkAdapters.entries()) {
    if (network !== 'user' || outbound === true) continue
    const path = `${root}.networkAdapters[${String(index)}].outbound`
    throw new NotSupportedError({
      capability: 'spec.networkAdapters.outbound',
      path,
      reason: `${path} must be true: the user network of libvirt always lets the guest out`,
      hint: 'Set outbound: true, or name a network of the host that is closed: { hostNetwork: NAME }.',
    })
  }
}

function refuseFirmwareFile({ boot }: VmChanges, root: Root): void {
  const { firmware } = boot ?? {}
  if (firmware === undefined || firmware === 'uefi' || firmware === 'bios') return
  const path = `${root}.boot.firmware`
  throw new NotSupportedError({
    capability: 'spec.boot.firmware',
    path,
    reason: `${path} is a file, and libvirt chooses the files of firmware itself`,
    hint: "Use 'uefi' or 'bios'.",
  })
}

/** libvirt keeps each domain in a file of its name with `.xml.new` behind it. */
const maxNameBytes = 255 - '.xml.new'.length

function requireShortName({ name = '' }: VmChanges, root: Root): void {
  const bytes = Buffer.byteLength(name)
  if (bytes <= maxNameBytes) return
  throw new InvalidArgumentError({
    path: `${root}.name`,
    reason: `${root}.name has ${String(bytes)} bytes in UTF-8, and libvirt takes ${String(maxNameBytes)}`,
  })
}

/** Characters that libvirt refuses in the name of a domain, or that would make two lines of it in a list. */
const refusedInName = /[/\n\t]/

/** Refuses texts that XML 1.0, in which libvirt keeps them, does not have. Those of a seed become a file. */
function requireWritable({ cloudInit: _cloudInit, ...settings }: VmChanges, root: Root): void {
  for (const [path, text] of textsIn(settings, root)) {
    const found = unwritable.exec(text) ?? (path === `${root}.name` ? refusedInName.exec(text) : null)
    if (found === null) continue
    throw new InvalidArgumentError({
      path,
      reason: `${path} has the character ${JSON.stringify(found[0])}, which libvirt does not keep`,
    })
  }
}

function textsIn(value: unknown, path: string): [string, string][] {
  if (typeof value === 'string') return [[path, value]]
  if (Array.isArray(value)) return value.flatMap((part, index) => textsIn(part, `${path}[${String(index)}]`))
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, part]) => textsIn(part, `${path}.${key}`))
}
