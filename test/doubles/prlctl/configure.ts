import { existsSync, statSync } from 'node:fs'
import { type Command, lookUp } from './command.js'
import type { Registry } from './dispatcher.js'
import type { Machine, Settings } from './machine.js'
import { Failure, texts } from './messages.js'
import { print } from './terminal.js'

const limits = { cpus: 64, memory: 1024 * 1024 } as const

const refuse = (reason: string): never => {
  throw new Failure(`${reason}\nFailed to configure the virtual machine.`)
}

function numberUpTo(limit: number, option: string, value: string): number {
  const number = Number(value)
  if (!Number.isInteger(number) || number < 1 || number > limit) {
    refuse(`The value "${value}" of ${option} is invalid. The maximum is ${String(limit)}.`)
  }
  return number
}

/** The image of a CD-ROM: prlctl takes an empty one for an empty drive. */
function checkedImage(image: string): string {
  if (image !== '' && (!existsSync(image) || !statSync(image).isFile())) refuse(texts.fileNotFound(image))
  return image
}

function freeImage({ disks }: Settings): string {
  for (let number = 0; ; number += 1) {
    const image = `harddisk${number === 0 ? '' : String(number)}.hdd`
    if (!disks.some((disk) => disk.image === image)) return image
  }
}

/** The devices after a `--device-*` option, whose details are options of their own. */
function withDevice(settings: Settings, options: ReadonlyMap<string, string[]>): Settings {
  const [added] = options.get('--device-add') ?? []
  const [changed] = options.get('--device-set') ?? []
  const [removed] = options.get('--device-del') ?? []
  const [image] = options.get('--image') ?? []
  if (added === 'hdd') {
    const size = numberUpTo(2 ** 31, '--size', options.get('--size')?.[0] ?? '65536')
    return { ...settings, disks: [...settings.disks, { size, image: freeImage(settings) }] }
  }
  if (added === 'cdrom') {
    if (image === undefined)
      return refuse('The device type is not specified. Use either the --device or --image option.')
    return { ...settings, cdroms: [...settings.cdroms, { image: checkedImage(image) }] }
  }
  const device = changed ?? removed
  if (device === undefined) return added === undefined ? settings : refuse(`The device ${added} cannot be added.`)
  const [, kind, digits] = /^(hdd|cdrom)(\d+)$/.exec(device) ?? []
  const index = Number(digits)
  const there = kind === 'hdd' ? settings.disks : settings.cdroms
  if (kind === undefined || index >= there.length) refuse(`The device ${device} does not exist.`)
  if (removed !== undefined) {
    return kind === 'hdd'
      ? { ...settings, disks: settings.disks.toSpliced(index, 1) }
      : { ...settings, cdroms: settings.cdroms.toSpliced(index, 1) }
  }
  if (kind === 'hdd') {
    const disk = settings.disks[index]!
    const size = numberUpTo(2 ** 31, '--size', options.get('--size')?.[0] ?? String(disk.size))
    if (size < disk.size) refuse(`The hard disk ${device} cannot be made smaller.`)
    return { ...settings, disks: settings.disks.with(index, { ...disk, size }) }
  }
  if (image === undefined) return settings
  return { ...settings, cdroms: settings.cdroms.with(index, { image: checkedImage(image) }) }
}

function apply(registry: Registry, machine: Machine, options: ReadonlyMap<string, string[]>): void {
  const value = (option: string): string | undefined => options.get(option)?.at(-1)
  const cpus = value('--cpus')
  const memory = value('--memsize')
  const order = value('--device-bootorder')
  const settings = withDevice(
    {
      ...machine.settings,
      ...(cpus !== undefined && { cpus: numberUpTo(limits.cpus, '--cpus', cpus) }),
      ...(memory !== undefined && { memory: numberUpTo(limits.memory, '--memsize', memory) }),
      ...(order !== undefined && { bootOrder: order }),
    },
    options,
  )
  const isHardware = JSON.stringify(settings) !== JSON.stringify(machine.settings)
  if (isHardware && machine.state !== 'stopped') refuse(texts.mustBeStoppedForDevices())
  const name = value('--name')
  if (name !== undefined && name !== machine.name) {
    if (machine.state !== 'stopped') refuse(texts.mustBeStoppedToRename(machine.name))
    if (Object.values(registry.machines).some((other) => other.name === name)) refuse(texts.nameTaken(name))
    machine.name = name
  }
  const description = value('--description')
  if (description !== undefined) {
    machine.description = description
    // Lets a test have a VM without Parallels Tools.
    machine.tools = description.includes('without tools') ? 'not_installed' : 'installed'
  }
  machine.settings = settings
}

export const set: Command = {
  takesId: 'always',
  options: {
    '--name': true,
    '--description': true,
    '--cpus': true,
    '--memsize': true,
    '--device-bootorder': true,
    '--device-add': true,
    '--device-set': true,
    '--device-del': true,
    '--size': true,
    '--image': true,
    '--connect': false,
    '--disconnect': false,
    '--destroy-image': false,
  },
  run({ dispatcher, id, options }) {
    dispatcher.transact((registry) => {
      const machine = lookUp(registry, id)
      apply(registry, machine, options)
      dispatcher.event('vm_config_changed', machine)
    })
    print('\nThe VM has been successfully configured.\n')
  },
}
