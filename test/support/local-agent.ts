import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, writeSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { Agent, GuestAgent } from '../../src/guest-agent/agent.js'
import { AgentCommandError, AgentConnectionError, AnswerLostError } from '../../src/guest-agent/agent-errors.js'
import type { VmState } from '../../src/model/vm-state.js'

interface Run {
  readonly out: Buffer[]
  readonly err: Buffer[]
  end: { readonly exitcode?: number; readonly signal?: number } | undefined
}

/** An agent that works on this machine: what it is asked to run is run by a shell of the test's choice in place of /bin/sh. */
export class LocalAgent implements Agent, GuestAgent {
  readonly vm = 'vm-1'
  readonly driver = 'local'
  /** The processes that have ended. */
  readonly ended = new Set<string>()
  readonly clients: GuestAgent['clients']
  readonly #shell: string
  readonly #runs = new Map<number, Run>()
  /** Open files. As the real agent, it never gives a handle twice. */
  readonly #files = new Map<number, number>()
  #lastHandle = 0
  /** The folders that shells have made. */
  readonly folders: string[] = []
  /** Fails each turn while it is set. */
  failure: Error | undefined
  /** Whether the connection breaks at a command, before or after the agent has executed it, or only its answer gets lost. */
  breaks: (command: string) => 'before' | 'after' | 'lost' | undefined = () => undefined
  /** What the agent says in place of the right answer. */
  lies: (command: string, answer: unknown) => unknown = (_command, answer) => answer
  state: VmState = 'running'

  /** @param client the name of the process that uses it */
  constructor(shell: string, client = 'client-1') {
    this.#shell = shell
    this.clients = { own: client, hasEnded: (name) => this.ended.has(name) }
  }

  async turn<T>(action: (agent: Agent) => Promise<T>): Promise<T> {
    if (this.failure !== undefined) throw this.failure
    return await action(this)
  }

  requireAnswer(): Promise<void> {
    return Promise.resolve()
  }

  look(): Promise<VmState> {
    return Promise.resolve(this.state)
  }

  /** Waits until the shells have ended. */
  async untilQuiet(): Promise<void> {
    while (this.folders.some((folder) => existsSync(folder))) await delay(10)
  }

  /** Ends all that runs in the folders of shells, and removes them. */
  async removeAll(): Promise<void> {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      if (this.folders.includes(readlink(`/proc/${pid}/cwd`))) process.kill(Number(pid), 'SIGKILL')
    }
    for (const folder of this.folders) await rm(folder, { recursive: true, force: true })
  }

  /** Waits until there is no such process. */
  async untilGone(pid: number): Promise<void> {
    while (existsSync(`/proc/${String(pid)}`) && !/\) [ZX] /.test(readFileSync(`/proc/${String(pid)}/stat`, 'latin1')))
      await delay(10)
  }

  execute(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.failure !== undefined) reject(this.failure)
      const breaks = this.breaks(command)
      try {
        const answer = breaks === 'before' ? undefined : this.#perform(command, args)
        if (breaks === 'lost') reject(new AnswerLostError())
        else if (breaks !== undefined) reject(new AgentConnectionError(`the connection broke ${breaks} ${command}`))
        else resolve(this.lies(command, answer))
      } catch (error) {
        reject(new AgentCommandError('GenericError', String(error)))
      }
    })
  }

  #perform(command: string, args: Readonly<Record<string, unknown>>): unknown {
    switch (command) {
      case 'guest-exec':
        return { pid: this.#run((args['arg'] as string[]).map((word) => word.replaceAll('/bin/sh', this.#shell))) }
      case 'guest-exec-status': {
        const run = this.#runs.get(Number(args['pid']))
        if (run?.end === undefined) return { exited: false }
        const [out, err] = [run.out, run.err].map((pieces) => Buffer.concat(pieces).toString('base64'))
        return { exited: true, ...run.end, 'out-data': out, 'err-data': err }
      }
      case 'guest-file-open':
        this.#lastHandle += 1
        this.#files.set(this.#lastHandle, openSync(String(args['path']), String(args['mode'])))
        return this.#lastHandle
      case 'guest-file-read': {
        const buffer = Buffer.alloc(Number(args['count']))
        const length = readSync(this.#file(args), buffer)
        return { count: length, 'buf-b64': buffer.toString('base64', 0, length), eof: length === 0 }
      }
      case 'guest-file-write':
        return { count: writeSync(this.#file(args), Buffer.from(String(args['buf-b64']), 'base64')), eof: false }
      case 'guest-file-seek':
      case 'guest-file-flush':
        return {}
      case 'guest-file-close':
        closeSync(this.#file(args))
        this.#files.delete(Number(args['handle']))
        return {}
      default:
        throw new Error(`unknown: ${command}`)
    }
  }

  #file({ handle }: Readonly<Record<string, unknown>>): number {
    const file = this.#files.get(Number(handle))
    if (file === undefined) throw new Error(`handle '${String(handle)}' has not been found`)
    return file
  }

  #run(args: readonly string[]): number {
    const [program = '', ...first] = this.#shell.split(' ')
    const child = spawn(program, [...first, ...args], { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    const run: Run = { out: [], err: [], end: undefined }
    child.stdout.on('data', (chunk: Buffer) => run.out.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => run.err.push(chunk))
    child.on('close', (exitcode, signal) => {
      const folder = /^(\/(?:run|tmp)\/awaitvm-[0-9a-f]{12})\n/.exec(Buffer.concat(run.out).toString())?.[1]
      if (folder !== undefined) this.folders.push(folder)
      run.end = exitcode === null ? { signal: Number(signal) } : { exitcode }
    })
    this.#runs.set(child.pid ?? 0, run)
    return child.pid ?? 0
  }
}

/** Where a link of a process leads; empty if the process has ended. */
export const readlink = (path: string): string => unlessGone(() => readlinkSync(path))

/** A file of a process; empty if the process has ended. */
export const readIfThere = (path: string): string => unlessGone(() => readFileSync(path, 'latin1'))

function unlessGone(read: () => string): string {
  try {
    return read()
  } catch {
    return ''
  }
}
