import { inBackground } from '../background.js'
import { pause } from '../driver/backoff.js'
import type { GuestAgent } from './agent.js'
import { AgentConnectionError } from './agent-errors.js'
import { TailedFile } from './agent-file.js'
import { runScript } from './agent-program.js'
import { LogPolls, longestPauseMs } from './log-polls.js'
import { isPaused, isToBeAsked, lostProgram, lostShell } from './lost-program.js'
import { ShellCommands } from './shell-commands.js'
import { ShellLog, type ShellLine } from './shell-log.js'
import type { ShellOwners } from './shell-owners.js'
import { functions, lookScript } from './shell-script.js'
import { batch, pipesOf, startShell, type StartedShell } from './shell-start.js'
import { ShellSweeper } from './shell-sweeper.js'
import { ShellWorkers } from './shell-workers.js'

/** One who has a program in the shell. */
export interface ShellUser {
  /** The process that waits for the program, once it has begun. */
  readonly waiter: number | undefined
  tell(line: ShellLine): void
  /** Nothing more will be told. */
  fail(error: Error): void
  /** The agent can't be asked at present, or can again. */
  setReachable(isReachable: boolean): void
}

/** How many files are removed at a time. */
const maxGarbage = 100
/** A new shell takes over when the numbers have come so far, which keeps the log short. */
const maxNumber = 4000
/** How long the shell is kept for the next program. */
const keptMs = 10_000
/** How long the log may be silent until the processes are looked at. */
const lookAfterMs = 5000
/** How long the agent may be unreachable before it is unknown what becomes of programs. */
const maxSilenceMs = 60_000

/**
 * A shell in the guest that starts programs for this process, and tells what becomes of them: see shell-script.ts. It needs the agent
 * only to be told and to tell: its programs go on without a connection.
 */
export class GuestShell {
  readonly guest: GuestAgent
  readonly folder: string
  /** Whether the guest has the port for much data. */
  readonly hasPort: boolean
  /** Ends an output whose program has ended. No program knows it. */
  readonly mark: string
  readonly #sweeper: ShellSweeper
  readonly #onEnd: () => void
  readonly #log = new ShellLog()
  readonly #users = new Map<number, ShellUser>()
  readonly #workers = new ShellWorkers()
  readonly #ticks: (() => void)[] = []
  /** The files of programs that have ended. */
  readonly #garbage: string[] = []
  #logFile: TailedFile | undefined
  #commands: ShellCommands | undefined
  #pid: number | undefined
  #lastNumber = 0
  #pipes = batch
  #lastId = 0
  #isFollowing = false
  readonly #polls = new LogPolls()
  #silentSince: number | undefined
  #lookedAt = performance.now()
  #failure: Error | undefined
  #idle: NodeJS.Timeout | undefined

  private constructor(guest: GuestAgent, started: StartedShell, owners: ShellOwners, onEnd: () => void) {
    this.guest = guest
    this.folder = started.folder
    this.hasPort = started.hasPort
    this.mark = started.mark
    this.#sweeper = new ShellSweeper(guest, owners, this.send.bind(this))
    this.#onEnd = onEnd
  }

  /**
   * If it fails since an answer got lost, it may be repeated: what it has left is ended by the next shell, or by itself.
   *
   * @param onEnd called when the shell takes no more programs
   */
  static async start(guest: GuestAgent, owners: ShellOwners, onEnd: () => void): Promise<GuestShell> {
    const name = owners.newShell()
    try {
      const started = await startShell(guest, name, owners.lineFor(guest))
      return await GuestShell.#open(guest, started, owners, () => {
        owners.leave(name)
        onEnd()
      })
    } catch (error) {
      owners.leave(name)
      throw error
    }
  }

  static async #open(
    guest: GuestAgent,
    started: StartedShell,
    owners: ShellOwners,
    onEnd: () => void,
  ): Promise<GuestShell> {
    const shell = new GuestShell(guest, started, owners, onEnd)
    shell.#logFile = await TailedFile.open(guest, shell.file('l'))
    shell.#commands = await ShellCommands.open(guest, shell.patient, shell.folder, {
      tick: () => shell.tick(),
      isOver: () => shell.#hasFailed(),
      onError: async (error) => {
        shell.#fail(lostProgram(error, await shell.#state(error)))
      },
    })
    shell.send(functions)
    return shell
  }

  /**
   * Whether the shell takes more programs: its guest is the same as when it was started. Rejects if the agent can't be asked at present,
   * which says nothing about the programs.
   */
  async isUsable(): Promise<boolean> {
    if (this.#hasFailed() || this.#lastNumber >= maxNumber) return false
    clearTimeout(this.#idle)
    try {
      await this.guest.turn(() => Promise.resolve())
    } catch (error) {
      this.#keepAWhile()
      if (isToBeAsked(error)) throw error
      this.#fail(lostProgram(error))
    }
    this.#sweeper.look()
    return !this.#hasFailed()
  }

  /** The path of a file in the shell's folder. */
  file(name: string): string {
    return `${this.folder}/${name}`
  }

  /** Adds a program, which gets a number. The user is told all that the shell tells of it. */
  add(user: ShellUser): number {
    clearTimeout(this.#idle)
    this.#lastNumber += 1
    if (this.#lastNumber > this.#pipes) {
      this.send(`mkfifo ${pipesOf(this.#lastNumber).join(' ')}`)
      this.#pipes += batch
    }
    this.#users.set(this.#lastNumber, user)
    return this.#lastNumber
  }

  /** Forgets a program, whose files are removed. */
  remove(number: number, hasMoreFiles: boolean): void {
    const n = String(number)
    if (hasMoreFiles) this.send(`rm -f ${n}.*`)
    else this.#garbage.push(...['o', 'e', 's', 'd', 'o.0', 'e.0', 'i'].map((name) => `${n}.${name}`))
    if (this.#garbage.length > maxGarbage) this.send(`rm -f ${this.#garbage.splice(0).join(' ')}`)
    this.#users.delete(number)
    this.#polls.remove(number)
    this.#workers.remove(number, hasMoreFiles)
    this.#keepAWhile()
  }

  /** Ends the shell if nothing uses it for some time. */
  #keepAWhile(): void {
    clearTimeout(this.#idle)
    if (this.#users.size > 0 || this.#hasFailed()) return
    this.#idle = setTimeout(
      () => {
        inBackground(`VM ${this.guest.vm}: ending the shell in its guest`, () => this.end())
      },
      this.#lastNumber < maxNumber ? keptMs : 0,
    )
    this.#idle.unref()
  }

  /** A new number for a question to the shell. */
  nextId(): number {
    this.#lastId += 1
    return this.#lastId
  }

  /** Sends lines to the shell, which executes them in their order. */
  send(lines: string): void {
    this.#commands?.send(lines)
  }

  /** Starts a program by a command for one of the shell's workers. */
  run(number: number, command: string): void {
    this.start(number, this.#workers.start(number, command))
  }

  /** Starts a program by a line for the shell itself. */
  start(number: number, line: string): void {
    this.send(line)
    this.#polls.begin(number)
    this.#follow()
  }

  /** Notes whether the log will tell nothing of a program for now: its data pass by the port. */
  setQuiet(number: number, isQuiet: boolean): void {
    this.#polls.setQuiet(number, isQuiet)
  }

  /** Notes that something happens, so that the shell is asked often for some time. */
  touch(): void {
    this.#polls.touch()
  }

  /** Turns at the agent that are repeated until it can be asked, or the shell has failed. For what may be done twice. */
  readonly patient: Pick<GuestAgent, 'turn'> = {
    turn: async (action) => {
      for (;;) {
        try {
          return await this.guest.turn(action)
        } catch (error) {
          if (!isToBeAsked(error) || this.#hasFailed()) throw error
          // The log is read again and again only while there are programs.
          await (this.#isFollowing ? this.tick() : this.#explain(error))
        }
      }
    },
  }

  /** Resolves when the log was read again, or the shell has failed. */
  tick(): Promise<void> {
    if (this.#failure !== undefined) return Promise.resolve()
    return new Promise((resolve) => this.#ticks.push(resolve))
  }

  /** Ends the shell if it has no program, and removes its folder. */
  async end(): Promise<void> {
    clearTimeout(this.#idle)
    if (this.#users.size > 0 || this.#failure !== undefined) return
    this.#failure = new Error('the shell was ended')
    this.#onEnd()
    await this.#commands?.end(`dismiss; rm -rf ${this.folder}; exit`)
    await this.#logFile?.close()
  }

  #follow(): void {
    if (this.#isFollowing) return
    this.#isFollowing = true
    inBackground(`VM ${this.guest.vm}: following programs in its guest`, async () => {
      try {
        while (this.#isInUse()) {
          await this.#polls.next()
          // The log may have been closed.
          if (this.#isInUse()) await this.#read()
        }
      } finally {
        this.#isFollowing = false
      }
    })
  }

  async #read(): Promise<void> {
    try {
      const hasNews = await this.#readLog()
      this.#setReachable(true)
      if (hasNews) this.touch()
      else if (performance.now() > Math.max(this.#polls.activeAt, this.#lookedAt) + lookAfterMs) await this.#look()
    } catch (error) {
      await this.#explain(error)
    }
    for (const tick of this.#ticks.splice(0)) tick()
  }

  async #readLog(): Promise<boolean> {
    const bytes = (await this.#logFile?.read()) ?? Buffer.alloc(0)
    const lines = this.#log.push(bytes)
    this.#polls.noteRead(lines.some(([, { kind }]) => kind === 'ended'))
    for (const [number, line] of lines) this.#tell(number, line)
    return bytes.byteLength > 0
  }

  #tell(number: number, line: ShellLine): void {
    if (line.kind === 'ready') {
      this.#pid = line.pid
      this.#commands?.noteTaken()
    } else if (line.kind === 'other') this.#sweeper.hearOf(line)
    else {
      if (line.kind === 'begun') this.#workers.noteBegun(number, line.parent)
      else if (line.kind === 'ended' || line.kind === 'missing') this.#workers.noteEnd(number)
      this.#users.get(number)?.tell(line)
    }
  }

  /** Finds processes that were killed: they tell nothing. */
  async #look(): Promise<void> {
    const pid = this.#pid ?? 0
    const waiterOf = (number: number): number =>
      this.#users.get(number)?.waiter ?? this.#workers.waiterFor(number) ?? pid
    const waiters = [...this.#users.keys()].map(waiterOf)
    const { stdout } = await this.guest.turn((agent) => runScript(agent, lookScript, ...[pid, ...waiters].map(String)))
    this.#lookedAt = performance.now()
    const gone = new Set(stdout.split('\n').map(Number))
    if (gone.has(pid)) this.#fail(lostShell())
    const lost = [...this.#users].flatMap(([number, user]) => (gone.has(waiterOf(number)) ? [user] : []))
    if (lost.length === 0) return
    // They may have told the end just before.
    await this.#readLog()
    for (const user of lost) user.fail(lostShell())
  }

  /** Decides whether the shell is asked again. */
  async #explain(error: unknown): Promise<void> {
    // Programs are paused together with their guest.
    if (isPaused(error)) {
      await pause(longestPauseMs)
      return
    }
    this.#silentSince ??= performance.now()
    if (!isToBeAsked(error) || performance.now() > this.#silentSince + maxSilenceMs) {
      this.#fail(lostProgram(error, await this.#state(error)))
      return
    }
    this.#setReachable(false)
    await pause(longestPauseMs)
  }

  #setReachable(isReachable: boolean): void {
    if (isReachable && this.#silentSince === undefined) return
    if (isReachable) this.#silentSince = undefined
    for (const user of this.#users.values()) user.setReachable(isReachable)
  }

  async #state(error: unknown): Promise<string | undefined> {
    return error instanceof AgentConnectionError ? await this.guest.look().catch(() => 'unknown') : undefined
  }

  #isInUse(): boolean {
    return this.#users.size > 0 && !this.#hasFailed()
  }

  #hasFailed(): boolean {
    return this.#failure !== undefined
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.#onEnd()
    for (const user of this.#users.values()) user.fail(error)
    for (const tick of this.#ticks.splice(0)) tick()
  }
}
