import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Command, failing, lookUp, pause, requireAtRest } from './command.js'
import type { Dispatcher, Registry } from './dispatcher.js'
import { freshGuest, type Machine } from './machine.js'
import { Failure, texts } from './messages.js'
import { print, terminal } from './terminal.js'

/** The configuration of an unregistered VM, in the VM's folder. */
const configFile = (home: string): string => join(home, 'config.json')

function requireFreeName(registry: Registry, name: string): void {
  const machines = [...Object.values(registry.machines), ...registry.pending.map(({ machine }) => machine)]
  if (machines.some((machine) => machine.name === name)) throw new Failure(texts.nameTaken(name))
}

const newHome = (dispatcher: Dispatcher, id: string): string => join(dispatcher.folder, 'vms', `${id}.pvm`)

export const create: Command = {
  takesId: 'always',
  options: { '-o': true, '--ostype': true, '-d': true, '--distribution': true, '--dst': true, '--no-hdd': false },
  heedsSignals: true,
  async run({ dispatcher, id: name, options, isCanceled }) {
    print('Creating the virtual machine...\n')
    await pause(dispatcher.knobs.delays.create)
    failing('create the virtual machine', () => {
      if (isCanceled()) throw new Failure(texts.canceled())
      dispatcher.transact((registry) => {
        requireFreeName(registry, name)
        const id = randomUUID()
        const machine: Machine = {
          id,
          name,
          description: '',
          home: newHome(dispatcher, id),
          state: 'stopped',
          lockedUntil: 0,
          boot: 0,
          startedAt: 0,
          settings: {
            cpus: 2,
            memory: 2048,
            disks: options.has('--no-hdd') ? [] : [{ size: 65536, image: 'harddisk.hdd' }],
            cdroms: [{ image: '' }],
            bootOrder: 'hdd0 cdrom0 usb',
          },
          os: options.get('-d')?.[0] ?? options.get('-o')?.[0] ?? 'linux',
          isTemplate: false,
          tools: 'installed',
          guest: freshGuest(false),
          snapshots: {},
          currentSnapshot: '',
        }
        mkdirSync(dispatcher.disk(machine), { recursive: true })
        registry.machines[id] = machine
        dispatcher.event('vm_added', machine)
      })
    })
    print('The virtual machine has been successfully created.\n')
  },
}

export const clone: Command = {
  takesId: 'always',
  options: {
    '--name': true,
    '--dst': true,
    '--linked': false,
    '--changesid': false,
    '--template': false,
    '--id': true,
  },
  heedsSignals: true,
  async run({ dispatcher, id, options, isCanceled }) {
    const { delays, failsLinkedRace, buffersProgress } = dispatcher.knobs
    const name = options.get('--name')?.[0]
    if (name === undefined) throw new Failure('Invalid usage\n', 1)
    const source = dispatcher.transact((registry) => lookUp(registry, id).name)
    print(`Clone the ${source} VM to ${options.has('--template') ? 'template' : 'VM'} ${name}...\n`)
    // An error message begins on a new line.
    const fail = <T>(action: () => T): T => {
      try {
        return failing('clone the VM', action)
      } catch (error) {
        throw error instanceof Failure ? new Failure(`\n${error.message}`, error.exitCode) : error
      }
    }
    const clone = fail(() =>
      dispatcher.transact((registry) => {
        const machine = lookUp(registry, id)
        if (machine.state === 'running' || machine.state === 'paused') throw new Failure(texts.lockedExecute())
        const isLinked = options.has('--linked')
        const race = registry.pending.some((other) => other.isLinked && other.parent === machine.id)
        if (isLinked && race && failsLinkedRace) throw new Failure(texts.notFound())
        requireAtRest(machine)
        requireFreeName(registry, name)
        const copyId = randomUUID()
        const endsAt = Date.now() + (isLinked ? delays.clone / 2 : delays.clone)
        const copy: Machine = {
          ...structuredClone(machine),
          id: copyId,
          name,
          home: newHome(dispatcher, copyId),
          state: 'stopped',
          isTemplate: options.has('--template'),
          snapshots: {},
          currentSnapshot: '',
        }
        if (!isLinked) machine.lockedUntil = endsAt
        dispatcher.copy(dispatcher.disk(machine), dispatcher.disk(copy))
        registry.pending.push({ machine: copy, parent: machine.id, isLinked, endsAt })
        return copy
      }),
    )
    const begin = Date.now()
    const lines: string[] = []
    const disks = Math.max(1, clone.settings.disks.length)
    let disk = 1
    const copying = (number: number, percent: number): string =>
      `\rCopying hard disk ${String(number)} ... ${String(percent)} %`
    for (;;) {
      const isThere = dispatcher.transact((registry) => registry.machines[clone.id] !== undefined)
      if (isThere) break
      const percent = Math.floor((100 * disks * (Date.now() - begin)) / Math.max(1, delays.clone))
      // The disks in turn, each from 0 to 100.
      for (; disk < disks && percent >= 100 * disk; disk += 1) lines.push(copying(disk, 100))
      lines.push(copying(disk, Math.min(100, percent - 100 * (disk - 1))))
      if (!buffersProgress) print(lines.splice(0).join(''))
      const wasStopped =
        isCanceled() &&
        dispatcher.transact((registry) => {
          const isPending = registry.pending.some(({ machine }) => machine.id === clone.id)
          registry.pending = registry.pending.filter(({ machine }) => machine.id !== clone.id)
          const original = registry.machines[lookUp(registry, id).id]
          if (isPending && original !== undefined) original.lockedUntil = 0
          return isPending
        })
      if (wasStopped) {
        rmSync(clone.home, { recursive: true, force: true })
        fail(() => {
          throw new Failure(texts.canceled())
        })
      }
      await pause(5)
      if (terminal().isGone()) throw new Failure('')
    }
    print(`${lines.join('')}\nThe VM has been successfully cloned.\n`)
  },
}

/** Unregisters a VM, which must be at rest. */
function takeOut(dispatcher: Dispatcher, registry: Registry, id: string, event: string): Machine {
  const machine = lookUp(registry, id)
  if (machine.state === 'running' || machine.state === 'paused') throw new Failure(texts.lockedExecute())
  if (machine.transition !== undefined) throw new Failure(texts.lockedInternal())
  requireAtRest(machine)
  const { [machine.id]: _gone, ...others } = registry.machines
  registry.machines = others
  dispatcher.event(event, machine)
  return machine
}

export const deleteVm: Command = {
  takesId: 'always',
  options: { '--force': false },
  run({ dispatcher, id }) {
    dispatcher.transact((registry) => lookUp(registry, id))
    print('Removing the VM...\n')
    failing('remove the VM', () => {
      dispatcher.transact((registry) => {
        const { home } = takeOut(dispatcher, registry, id, 'vm_deleted')
        rmSync(home, { recursive: true, force: true })
      })
    })
    print('The VM has been successfully removed.\n')
  },
}

export const unregister: Command = {
  takesId: 'always',
  run({ dispatcher, id }) {
    dispatcher.transact((registry) => lookUp(registry, id))
    print('Unregister the VM...\n')
    failing('unregister the VM', () => {
      dispatcher.transact((registry) => {
        const machine = takeOut(dispatcher, registry, id, 'vm_unregistered')
        writeFileSync(configFile(machine.home), JSON.stringify(machine))
      })
    })
    print('The VM has been successfully unregistered.\n')
  },
}

export const register: Command = {
  takesId: 'always',
  options: { '--preserve-uuid': false, '--preserve-uuid=yes': false, '--uuid': true, '--force': false },
  heedsSignals: true,
  run({ dispatcher, id: path }) {
    print('Register the virtual environment...\n')
    failing('register the virtual environment', () => {
      dispatcher.transact((registry) => {
        const home = path.replace(/\/$/, '')
        if (Object.values(registry.machines).some((machine) => machine.home === home)) {
          throw new Failure(texts.alreadyRegistered(home))
        }
        if (!existsSync(configFile(home))) throw new Failure(texts.fileNotFound(path))
        const machine = JSON.parse(readFileSync(configFile(home), 'utf8')) as Machine
        requireFreeName(registry, machine.name)
        rmSync(configFile(home))
        registry.machines[machine.id] = machine
        dispatcher.event('vm_added', machine)
      })
    })
    print('The virtual environment has been successfully registered.\n')
  },
}
