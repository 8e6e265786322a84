import { unsupported, type HandledSettings, type Unsupported } from '../../driver/settings.js'

const notYet = (what: string): Unsupported =>
  unsupported({
    reason: `awaitvm makes no ${what} on libvirt yet`,
    hint: 'Make the VM with virsh or virt-install, and find it with server.getVm().',
  })

const drives = notYet('drives')

/** What libvirt does with each setting of a VM. */
export const settings: HandledSettings = {
  name: true,
  description: true,
  labels: true,
  cpus: true,
  memoryMiB: true,
  ephemeral: unsupported({
    reason: 'libvirt keeps the VMs of a process that was killed',
    hint: 'Delete the VM with vm.delete({ force: true }).',
    values: [true],
  }),
  disks: drives,
  deleteDisks: drives,
  cdroms: drives,
  floppies: drives,
  boot: notYet('settings of the boot'),
  architecture: notYet('choice of the architecture'),
  machine: notYet('choice of the machine'),
  native: notYet('arguments for QEMU'),
  networkAdapters: notYet('network adapters'),
  cloudInit: notYet('seeds'),
  guest: notYet('way into the guest'),
  shares: notYet('shared folders'),
  tpm: unsupported({
    reason: 'awaitvm makes no TPM on libvirt yet',
    hint: 'Make the VM with virsh or virt-install, and find it with server.getVm().',
    values: [true],
  }),
}
