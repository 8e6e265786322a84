import type { Command } from './command.js'
import { find, lookUp } from './command.js'
import type { Dispatcher } from './dispatcher.js'
import { json } from './json.js'
import type { Machine } from './machine.js'
import { print, terminal } from './terminal.js'

const isUp = ({ state }: Machine): boolean => state === 'running'

function address(machine: Machine, dispatcher: Dispatcher): string {
  const isKnown = isUp(machine) && Date.now() >= machine.startedAt + dispatcher.knobs.delays.address
  return isKnown ? '10.211.55.3' : '-'
}

/** `list -i -j`, with the keys of Parallels Desktop or of Virtuozzo. */
function info(machine: Machine, dispatcher: Dispatcher): Record<string, unknown> {
  const { settings, id, home } = machine
  if (machine.state === 'invalid') {
    return { ID: id.toUpperCase(), Name: machine.name, State: machine.state, OS: machine.os, Home: home }
  }
  const isDesktop = dispatcher.knobs.flavour === 'desktop'
  const isRunning = isUp(machine)
  return {
    ID: id.toUpperCase(),
    Name: machine.name,
    Description: machine.description,
    Type: 'VM',
    State: machine.state,
    OS: machine.os,
    Template: machine.isTemplate ? 'yes' : 'no',
    Uptime: isRunning ? String(Math.floor((Date.now() - machine.startedAt) / 1000)) : '0',
    'Home path': `${home}/config.pvs`,
    Home: `${home}/`,
    GuestTools: { state: machine.tools, version: '26.3.0-57392' },
    'Startup and Shutdown': { Autostart: 'off', 'Autostart delay': 0, Autostop: 'suspend' },
    Optimization: { 'Faster virtual machine': 'on', 'Hypervisor type': 'parallels' },
    Security: { Encrypted: 'no', Protected: 'no' },
    'Smart Guard': { enabled: false },
    'Boot order': `${settings.bootOrder} `,
    'BIOS type': 'efi64',
    Hardware: {
      cpu: isDesktop
        ? { cpus: settings.cpus, 'VT-x': true, hotplug: false, accl: 'high', mode: '64' }
        : { cpus: settings.cpus, accl: 'high', mode: '64', ioprio: 4 },
      memory: { size: `${String(settings.memory)}Mb`, hotplug: false },
      video: { size: '64Mb', '3d-acceleration': 'highest' },
      memory_quota: { auto: 'yes' },
      ...Object.fromEntries(
        settings.disks.map(({ size, image }, index) => [
          `hdd${String(index)}`,
          {
            enabled: true,
            port: `sata:${String(index)}`,
            image: `${home}/${image}`,
            type: 'expanded',
            size: `${String(size)}Mb`,
          },
        ]),
      ),
      ...Object.fromEntries(
        settings.cdroms.map(({ image }, index) => [
          `cdrom${String(index)}`,
          { enabled: true, port: `sata:${String(16 + index)}`, image, ...(image === '' && { state: 'disconnected' }) },
        ]),
      ),
      usb: { enabled: true },
      net0: { enabled: true, type: 'shared', mac: '001C42F95777', card: 'virtio' },
    },
    'Host Shared Folders': { enabled: false },
    ...(isDesktop && {
      Network: {
        Conditioned: 'off',
        ipAddresses:
          address(machine, dispatcher) === '-'
            ? []
            : [
                { type: 'ipv4', ip: '169.254.10.20' },
                { type: 'ipv6', ip: 'fdb2:2c26:f4e4::5' },
                { type: 'ipv4', ip: address(machine, dispatcher) },
                { type: 'ipv6', ip: 'fe80::21c:42ff:fef9:5777' },
              ],
      },
    }),
  }
}

export const list: Command = {
  takesId: 'maybe',
  options: {
    '-a': false,
    '--all': false,
    '-i': false,
    '--info': false,
    '-f': false,
    '--full': false,
    '-t': false,
    '--template': false,
    '-j': false,
    '--json': false,
    '-H': false,
    '-o': true,
    '--output': true,
    '--vmtype': true,
  },
  run({ dispatcher, id, options }) {
    const { knobs } = dispatcher
    const has = (...names: string[]): boolean => names.some((name) => options.has(name))
    const { shown, isTruncated } = dispatcher.transact((registry) => {
      const wanted = id === '' ? Object.values(registry.machines) : [lookUp(registry, id)]
      const isTemplate = has('-t', '--template')
      const shown = wanted.filter(
        (machine) => id !== '' || (machine.isTemplate === isTemplate && (has('-a', '--all') || isUp(machine))),
      )
      if (knobs.monitor.echoesLists) for (const machine of shown) dispatcher.event('vm_config_changed', machine)
      return { shown, isTruncated: dispatcher.shows(registry, 'truncatedLists', knobs.truncatedLists) }
    })
    if (!has('-j', '--json')) {
      for (const machine of shown) {
        print(
          `{${machine.id}}  ${machine.state.padEnd(12)}  ${address(machine, dispatcher).padEnd(15)}  ${machine.name}\n`,
        )
      }
      return
    }
    const rows = shown.map((machine) =>
      has('-i', '--info')
        ? info(machine, dispatcher)
        : {
            uuid: machine.id,
            status: machine.state,
            ip_configured: has('-f', '--full') ? address(machine, dispatcher) : '-',
            ...(knobs.flavour === 'virtuozzo' && { type: 'VM' }),
            name: machine.name,
          },
    )
    const pieces = `${knobs.jsonPrefix}${json(rows)}\n`.split(/(?<="OS": ")/)
    const raw = Buffer.from(knobs.rawInStrings, 'latin1')
    const whole = Buffer.concat(pieces.flatMap((piece, index) => [...(index === 0 ? [] : [raw]), Buffer.from(piece)]))
    void terminal().write('stdout', isTruncated ? whole.subarray(0, whole.length / 2) : whole)
  },
}

export const status: Command = {
  takesId: 'always',
  run({ dispatcher, id }) {
    const machine = dispatcher.transact((registry) => find(registry, id))
    print(`VM ${id} ${machine === undefined ? 'not exist' : `exist ${machine.state}`}\n`)
  },
}
