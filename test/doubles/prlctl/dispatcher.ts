import {
  appendFileSync,
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { freshGuest, type Machine } from './machine.js'
import type { Knobs } from './knobs.js'

/** A program that runs in a guest on behalf of a prlctl, and is gone with it. */
interface Session {
  readonly owner: number
  readonly group: number
}

export interface Registry {
  machines: Record<string, Machine>
  /** Clones that are being made: they are there once they are whole, whether or not their prlctl still waits. */
  pending: { machine: Machine; parent: string; isLinked: boolean; endsAt: number }[]
  sessions: Session[]
  /** How often a fault has shown. */
  shown: Record<string, number>
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

const sleepSync = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)

/**
 * What the dispatcher service knows and does, kept in a folder that every prlctl shares. Nothing runs between two of them:
 * what is under way has a time at which it ends, and whoever looks first after that time brings it about.
 */
export class Dispatcher {
  readonly folder: string
  readonly knobs: Knobs

  constructor(folder: string, knobs: Knobs) {
    this.folder = folder
    this.knobs = knobs
  }

  get eventsFile(): string {
    return join(this.folder, 'events.jsonl')
  }

  /** The folder of what a running guest has in memory. */
  memory(machine: Machine): string {
    return join(this.folder, 'run', machine.id)
  }

  disk(machine: Machine): string {
    return join(machine.home, 'disk')
  }

  savedMemory(machine: Machine): string {
    return join(machine.home, 'saved-memory')
  }

  snapshotFolder(machine: Machine, id: string): string {
    return join(machine.home, 'snapshots', id)
  }

  /** Looks at everything, changes it, and writes it down, with no other prlctl at it. */
  transact<T>(action: (registry: Registry) => T): T {
    const lock = join(this.folder, 'lock')
    this.#lock(lock)
    try {
      const file = join(this.folder, 'registry.json')
      const before = existsSync(file)
        ? readFileSync(file, 'utf8')
        : '{"machines":{},"pending":[],"sessions":[],"shown":{}}'
      const registry = JSON.parse(before) as Registry
      this.#settle(registry)
      try {
        return action(registry)
      } finally {
        const after = JSON.stringify(registry)
        if (after !== before) {
          writeFileSync(`${file}.new`, after)
          renameSync(`${file}.new`, file)
        }
      }
    } finally {
      rmSync(lock, { force: true })
    }
  }

  event(name: string, machine: Machine): void {
    const { id, state } = machine
    appendFileSync(this.eventsFile, `${JSON.stringify({ name, id, state, at: Date.now() })}\n`)
  }

  /** The machine shows another state at once. */
  setState(machine: Machine, state: string): void {
    machine.transition = undefined
    if (machine.state === state) return
    machine.state = state
    this.event('vm_state_changed', machine)
  }

  /** The machine is on its way to another state. */
  begin(machine: Machine, via: string, to: string, ms: number): void {
    this.setState(machine, via)
    machine.transition = { to, endsAt: Date.now() + ms }
  }

  /** The guest begins anew: what it had in memory is lost. */
  freshBoot(machine: Machine): void {
    const memory = this.memory(machine)
    rmSync(memory, { recursive: true, force: true })
    mkdirSync(memory, { recursive: true })
    machine.boot += 1
    machine.startedAt = Date.now()
    machine.guest = freshGuest(machine.guest.hasShutDown)
  }

  /** The guest goes, by its own doing or by the power being taken away. */
  powerOff(machine: Machine, hasShutDown: boolean): void {
    rmSync(this.memory(machine), { recursive: true, force: true })
    machine.boot += 1
    machine.guest = freshGuest(hasShutDown)
    const { stop, teardown } = this.knobs.delays
    this.begin(machine, 'stopping', 'stopped', stop + teardown)
  }

  /** The guest hears that it is to go down. */
  pressPowerButton(machine: Machine, goDown: () => void): void {
    machine.guest.wasAsked = !machine.guest.ignoresShutdown
    if (!machine.guest.ignoresShutdown && !machine.guest.refusesShutdown) goDown()
  }

  copy(from: string, to: string): void {
    rmSync(to, { recursive: true, force: true })
    if (existsSync(from)) cpSync(from, to, { recursive: true })
  }

  /** Whether the fault shows this time. */
  shows(registry: Registry, fault: string, times: number): boolean {
    const shown = registry.shown[fault] ?? 0
    if (shown >= times) return false
    registry.shown[fault] = shown + 1
    return true
  }

  #settle(registry: Registry): void {
    const now = Date.now()
    for (const machine of Object.values(registry.machines)) {
      if (machine.transition !== undefined && machine.transition.endsAt <= now)
        this.setState(machine, machine.transition.to)
      if (this.knobs.invalid.includes(machine.name)) this.setState(machine, 'invalid')
    }
    for (const { machine } of registry.pending.filter(({ endsAt }) => endsAt <= now)) {
      registry.machines[machine.id] = machine
      this.event('vm_added', machine)
    }
    registry.pending = registry.pending.filter(({ endsAt }) => endsAt > now)
    // A session ends with the client that it belongs to.
    registry.sessions = registry.sessions.filter(({ owner, group }) => {
      if (isAlive(owner)) return true
      if (isAlive(-group)) process.kill(-group, 'SIGKILL')
      return false
    })
  }

  #lock(lock: string): void {
    for (;;) {
      try {
        const descriptor = openSync(lock, 'wx')
        writeSync(descriptor, String(process.pid))
        closeSync(descriptor)
        return
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
      const owner = Number(readOwner(lock))
      if (owner > 0 && !isAlive(owner)) rmSync(lock, { force: true })
      sleepSync(2)
    }
  }
}

function readOwner(lock: string): string {
  try {
    return readFileSync(lock, 'utf8')
  } catch {
    return ''
  }
}
