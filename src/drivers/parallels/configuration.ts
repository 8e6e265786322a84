import { InvalidArgumentError, NotSupportedError } from '../../errors.js'
import type { VmConfig } from '../../model/vm-config.js'
import type { VmChanges } from '../../model/vm-spec.js'
import type { Transport } from './transport.js'

/** Settings as commands: each list stands behind `prlctl set ID`. */
export interface ConfigurationCommands {
  /** Those that prlctl takes all at once, or not at all. */
  readonly settings: readonly string[]
  /** Devices, one command each. */
  readonly devices: readonly (readonly string[])[]
}

const notSupported = (capability: string, reason: string, hint: string): NotSupportedError =>
  new NotSupportedError({ capability, reason, hint })

/** Throws where the settings ask for something that Parallels does not have. */
export function refuseSettings({ disks = [], floppies = [], boot = {}, networkAdapters }: VmChanges): void {
  const hint = 'Install a system from a CD-ROM image, or clone a VM that has one.'
  if (boot.kernel !== undefined) throw notSupported('spec.boot.kernel', 'Parallels boots no kernel directly', hint)
  if (boot.firmware !== undefined || boot.videoFirmware !== undefined) {
    throw notSupported('spec.boot.firmware', 'Parallels has a firmware of its own', 'Leave spec.boot.firmware out.')
  }
  if (floppies.length > 0) {
    throw notSupported('spec.floppies.image', 'no one floppy drive is offered here', 'Use a CD-ROM image.')
  }
  if (disks.some(({ image }) => image !== undefined)) {
    throw notSupported('spec.disks.image', 'Parallels would write to the image itself, and takes no raw one', hint)
  }
  if (networkAdapters !== undefined) {
    const hint =
      'Leave it out, and the VM has the adapter that Parallels gives it; prlctl set --device-set net0 changes that.'
    throw notSupported('spec.networkAdapters', 'the networks of Parallels are not offered here', hint)
  }
  if (boot.order?.includes('floppy') === true) {
    throw notSupported('spec.boot.order', 'no one floppy drive is offered here', 'Use "disk" and "cdrom".')
  }
}

/** Throws where a CD-ROM image is none that the host can read. */
export async function requireImages({ cdroms = [] }: VmChanges, transport: Transport, root: string): Promise<void> {
  for (const [index, { image }] of cdroms.entries()) {
    if (await transport.isReadableFile(image)) continue
    const path = `${root}.cdroms[${String(index)}].image`
    throw new InvalidArgumentError({
      path,
      reason: `${path} is ${image}, which is no file that can be read on the host`,
    })
  }
}

/** What has to be done for a VM to be as the changes say. Throws where that can't be done. */
export function commandsFor(changes: VmChanges, now: VmConfig, there: readonly string[]): ConfigurationCommands {
  const { name, description, cpus, memoryMiB, boot } = changes
  const option = (flag: string, value: string | number | undefined, before: string | number): string[] =>
    value === undefined || value === before ? [] : [flag, String(value)]
  return {
    settings: [
      ...option('--name', name, now.name),
      ...option('--description', description, now.description),
      ...option('--cpus', cpus, now.cpus),
      ...option('--memsize', memoryMiB, now.memoryMiB),
      ...option('--device-bootorder', boot?.order && orderOf(boot.order), orderOf(now.boot.order ?? [])),
    ],
    devices: [...diskCommands(changes, now), ...cdromCommands(changes, now, there)],
  }
}

/** Whether the commands change what a VM has to be stopped for. */
export const changeHardware = ({ settings, devices }: ConfigurationCommands): boolean =>
  devices.length > 0 || ['--cpus', '--memsize', '--device-bootorder'].some((flag) => settings.includes(flag))

const orderOf = (order: readonly string[]): string =>
  order.map((device) => (device === 'disk' ? 'hdd0' : 'cdrom0')).join(' ')

function diskCommands({ disks }: VmChanges, now: VmConfig): string[][] {
  if (disks === undefined) return []
  const commands: string[][] = []
  for (const [index, { sizeMiB }] of disks.entries()) {
    const before = now.disks[index]
    if (before === undefined) commands.push(['--device-add', 'hdd', '--size', String(sizeMiB)])
    else if (before.sizeMiB !== sizeMiB) {
      throw notSupported(
        'spec.disks',
        `disk ${String(index)} has ${String(before.sizeMiB)} MiB, and its size stays`,
        'Add a disk at the end, or remove the last ones.',
      )
    }
  }
  // From the last one on, so that the others keep their names.
  for (let index = now.disks.length - 1; index >= disks.length; index -= 1) {
    commands.push(['--device-del', `hdd${String(index)}`, '--destroy-image'])
  }
  return commands
}

function cdromCommands({ cdroms }: VmChanges, now: VmConfig, there: readonly string[]): string[][] {
  if (cdroms === undefined) return []
  const drives = there.filter((name) => /^cdrom\d+$/.test(name))
  const commands: string[][] = []
  for (const [index, { image }] of cdroms.entries()) {
    if (now.cdroms[index]?.image === image) continue
    const drive = drives[index]
    if (drive === undefined) commands.push(['--device-add', 'cdrom', '--image', image])
    else commands.push(['--device-set', drive, '--image', image, '--connect'])
  }
  for (const drive of drives.slice(cdroms.length, Math.max(cdroms.length, now.cdroms.length)).reverse()) {
    commands.push(['--device-del', drive])
  }
  return commands
}
