import {
  appendFileSync,
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { freshGuest, type Machine } from './machine.js'
import type { Knobs } from './knobs.js'

/** A program in a guest that a prlctl runs. It ends with that prlctl. */
interface Session {
  readonly owner: number
  readonly group: number
}

export interface Registry {
  machines: Record<string, Machine>
  /** Clones in progress. They finish even if their prlctl has ended. */
  pending: { machine: Machine; parent: string; isLinked: boolean; endsAt: number }[]
  sessions: Session[]
  /** How often each fault occurred. */
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
 * The dispatcher service, whose state is in a folder that all prlctls share. Nothing runs between two calls: an operation has a time
 * at which it ends, and the first call after that time completes it.
 */
export class Dispatcher {
  readonly folder: string
  readonly knobs: Knobs
  /** During a transaction. */
  #sessions: readonly Session[] = []

  constructor(folder: string, knobs: Knobs) {
    this.folder = folder
    this.knobs = knobs
  }

  get eventsFile(): string {
    return join(this.folder, 'events.jsonl')
  }

  /** The folder with the memory of a running guest. */
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

  /** Reads, changes and writes the state, in turn with other prlctls. */
  transact<T>(action: (registry: Registry) => T): T {
    const lock = join(this.folder, 'lock')
    this.#lock(lock)
    try {
      const file = join(this.folder, 'registry.json')
      const before = existsSync(file)
        ? readFileSync(file, 'utf8')
        : '{"machines":{},"pending":[],"sessions":[],"shown":{}}'
      const registry = JSON.parse(before) as Registry
      this.#sessions = registry.sessions
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

  /** Changes the state of the machine at once. */
  setState(machine: Machine, state: string): void {
    machine.transition = undefined
    if (machine.state === state) return
    machine.state = state
    this.event('vm_state_changed', machine)
  }

  /** Begins a change of the machine's state. */
  begin(machine: Machine, via: string, to: string, ms: number): void {
    this.setState(machine, via)
    machine.transition = { to, endsAt: Date.now() + ms }
  }

  /** Boots the guest, without its former memory. */
  freshBoot(machine: Machine): void {
    const memory = this.memory(machine)
    this.#endDaemons(machine)
    rmSync(memory, { recursive: true, force: true })
    mkdirSync(memory, { recursive: true })
    machine.boot += 1
    machine.startedAt = Date.now()
    machine.guest = freshGuest(machine.guest.hasShutDown)
  }

  /** Ends the guest: it powered off, or was killed. */
  powerOff(machine: Machine, hasShutDown: boolean): void {
    this.#endDaemons(machine)
    rmSync(this.memory(machine), { recursive: true, force: true })
    machine.boot += 1
    machine.guest = freshGuest(hasShutDown)
    const { stop, teardown } = this.knobs.delays
    this.begin(machine, 'stopping', 'stopped', stop + teardown)
  }

  /** Asks the guest to shut down. */
  pressPowerButton(machine: Machine, goDown: () => void): void {
    machine.guest.wasAsked = !machine.guest.ignoresShutdown
    if (!machine.guest.ignoresShutdown && !machine.guest.refusesShutdown) goDown()
  }

  copy(from: string, to: string): void {
    rmSync(to, { recursive: true, force: true })
    if (existsSync(from)) cpSync(from, to, { recursive: true })
  }

  /** True if the fault occurs this time. */
  shows(registry: Registry, fault: string, times: number): boolean {
    const shown = registry.shown[fault] ?? 0
    if (shown >= times) return false
    registry.shown[fault] = shown + 1
    return true
  }

  /** Kills what programs of a guest have left behind. The programs themselves end with their prlctl. */
  #endDaemons({ id }: Machine): void {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        if (!readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`PRL_DOUBLE_GUEST=${id}\0`)) continue
        const [, , group] = readFileSync(`/proc/${pid}/stat`, 'utf8')
          .replace(/^.*\) /s, '')
          .split(' ')
        if (this.#sessions.every((session) => session.group !== Number(group))) process.kill(Number(pid), 'SIGKILL')
      } catch {
        // It has ended.
      }
    }
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
    // A session ends with its client.
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
