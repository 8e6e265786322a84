import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { type Call, type Command, failing, lookUp, requireAtRest, until } from './command.js'
import type { Dispatcher } from './dispatcher.js'
import { json, localTime } from './json.js'
import { freshGuest, type Machine, type SnapshotRecord } from './machine.js'
import { Failure, texts } from './messages.js'
import { print } from './terminal.js'

const kinds = { stopped: 'poweroff', running: 'poweron', paused: 'pause', suspended: 'suspend' } as const
const states = { poweroff: 'stopped', poweron: 'running', pause: 'paused', suspend: 'suspended' } as const

const bare = (id: string): string => id.replace(/^\{(.*)\}$/, '$1').toLowerCase()

function snapshotOf(machine: Machine, { options }: Call): { id: string; snapshot: SnapshotRecord } {
  const id = bare(options.get('-i')?.[0] ?? options.get('--id')?.[0] ?? '')
  const snapshot = machine.snapshots[id]
  if (snapshot === undefined) throw new Failure(texts.snapshotNotFound(id))
  return { id, snapshot }
}

/** The memory of a machine, running or saved. */
const memoryOf = (dispatcher: Dispatcher, machine: Machine): string =>
  machine.state === 'suspended' ? dispatcher.savedMemory(machine) : dispatcher.memory(machine)

const untilAtRest = ({ dispatcher, id }: Call): Promise<void> =>
  until(() => dispatcher.transact((registry) => lookUp(registry, id).transition === undefined))

export const snapshot: Command = {
  takesId: 'always',
  options: { '-n': true, '--name': true, '-d': true, '--description': true, '--wait': false },
  async run(call) {
    const { dispatcher, id, options } = call
    dispatcher.transact((registry) => lookUp(registry, id))
    print('Creating the snapshot...\n')
    const made = failing('create the snapshot', () =>
      dispatcher.transact((registry) => {
        const machine = lookUp(registry, id)
        requireAtRest(machine)
        const { state } = machine
        const kind = kinds[state as keyof typeof kinds]
        const made = randomUUID()
        machine.snapshots[made] = {
          name: options.get('-n')?.[0] ?? options.get('--name')?.[0] ?? '',
          description: options.get('-d')?.[0] ?? options.get('--description')?.[0] ?? '',
          date: localTime(new Date()),
          state: kind,
          parent: machine.currentSnapshot,
          settings: machine.settings,
          boot: machine.boot,
        }
        machine.currentSnapshot = made
        const folder = dispatcher.snapshotFolder(machine, made)
        dispatcher.copy(dispatcher.disk(machine), `${folder}/disk`)
        if (kind !== 'poweroff') dispatcher.copy(memoryOf(dispatcher, machine), `${folder}/memory`)
        dispatcher.begin(machine, 'snapshoting', state, dispatcher.knobs.delays.snapshot)
        dispatcher.event('vm_snapshots_tree_changed', machine)
        return made
      }),
    )
    await untilAtRest(call)
    print(`The snapshot with id {${made}} has been successfully created.\n`)
  },
}

export const snapshotList: Command = {
  takesId: 'always',
  options: { '-j': false, '--json': false, '-t': false, '--tree': false, '-i': true, '--id': true },
  run(call) {
    const { dispatcher, id, options } = call
    const isJson = options.has('-j') || options.has('--json')
    if (isJson && dispatcher.knobs.flavour === 'virtuozzo') throw new Failure('Unrecognized option: -j\n', 1)
    const machine = dispatcher.transact((registry) => lookUp(registry, id))
    if (options.has('-i') || options.has('--id')) {
      const { id: which, snapshot } = failing('get snapshots list', () => snapshotOf(machine, call))
      print(
        [
          `ID: {${which}}`,
          `Name: ${snapshot.name}`,
          `Date: ${snapshot.date}`,
          ...(machine.currentSnapshot === which ? ['Current: yes'] : []),
          `State: ${snapshot.state}`,
          `Description: <![CDATA[${snapshot.description}]]>`,
          '',
        ].join('\n'),
      )
      return
    }
    const all = Object.entries(machine.snapshots)
    if (all.length === 0) return
    if (isJson) {
      const rows = all.map(([key, { name, date, state, parent }]) => [
        `{${key}}`,
        { name, date, state, current: machine.currentSnapshot === key, parent: parent === '' ? '' : `{${parent}}` },
      ])
      const whole = `${dispatcher.knobs.jsonPrefix}${json(Object.fromEntries(rows))}\n`
      const isTruncated = dispatcher.transact((registry) =>
        dispatcher.shows(registry, 'truncatedSnapshotLists', dispatcher.knobs.truncatedSnapshotLists),
      )
      print(isTruncated ? whole.slice(0, whole.length / 2) : whole)
      return
    }
    print('PARENT_SNAPSHOT_ID                      SNAPSHOT_ID\n')
    for (const [key, { parent }] of all) {
      const above = parent === '' ? '' : `{${parent}}`
      print(`${above.padEnd(38)} ${machine.currentSnapshot === key ? '*' : ' '}{${key}}\n`)
    }
  },
}

export const snapshotSwitch: Command = {
  takesId: 'always',
  options: { '-i': true, '--id': true, '--skip-resume': false, '--wait': false },
  async run(call) {
    const { dispatcher, id, options } = call
    dispatcher.transact((registry) => lookUp(registry, id))
    print(`Switch to the snapshot ${options.get('-i')?.[0] ?? ''}\n`)
    failing('switch to snapshot', () => {
      dispatcher.transact((registry) => {
        const machine = lookUp(registry, id)
        const { id: which, snapshot } = snapshotOf(machine, call)
        requireAtRest(machine)
        const folder = dispatcher.snapshotFolder(machine, which)
        rmSync(dispatcher.memory(machine), { recursive: true, force: true })
        rmSync(dispatcher.savedMemory(machine), { recursive: true, force: true })
        const to = states[snapshot.state]
        dispatcher.copy(`${folder}/disk`, dispatcher.disk(machine))
        if (to !== 'stopped') {
          dispatcher.copy(`${folder}/memory`, memoryOf(dispatcher, { ...machine, state: to }))
        }
        machine.boot += 1
        machine.startedAt = Date.now()
        machine.guest = freshGuest(false)
        machine.settings = snapshot.settings
        machine.currentSnapshot = which
        dispatcher.begin(machine, 'restoring', to, dispatcher.knobs.delays.snapshot)
        dispatcher.event('vm_snapshots_tree_changed', machine)
      })
    })
    await untilAtRest(call)
    print('The VM has been successfully switched.\n')
  },
}

export const snapshotDelete: Command = {
  takesId: 'always',
  options: { '-i': true, '--id': true, '-c': false, '--children': false },
  async run(call) {
    const { dispatcher, id } = call
    dispatcher.transact((registry) => lookUp(registry, id))
    print('Delete the snapshot...\n')
    failing('delete snapshot', () => {
      dispatcher.transact((registry) => {
        const machine = lookUp(registry, id)
        const { id: which, snapshot } = snapshotOf(machine, call)
        requireAtRest(machine)
        const { [which]: _gone, ...others } = machine.snapshots
        for (const other of Object.values(others)) if (other.parent === which) other.parent = snapshot.parent
        machine.snapshots = others
        if (machine.currentSnapshot === which) machine.currentSnapshot = snapshot.parent
        rmSync(dispatcher.snapshotFolder(machine, which), { recursive: true, force: true })
        if (Object.keys(others).length === 0) rmSync(`${machine.home}/snapshots`, { recursive: true, force: true })
        dispatcher.begin(machine, 'del_snapshot', machine.state, dispatcher.knobs.delays.snapshot)
        dispatcher.event('vm_snapshots_tree_changed', machine)
      })
    })
    await untilAtRest(call)
    print('The snapshot has been successfully deleted.\n')
  },
}
