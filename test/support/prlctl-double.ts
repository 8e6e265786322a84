import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { build } from 'tsup'
import { afterAll } from 'vitest'
import type { Registry } from '../doubles/prlctl/dispatcher.js'
import type { Knobs } from '../doubles/prlctl/knobs.js'
import type { Machine } from '../doubles/prlctl/machine.js'

const run = promisify(execFile)

export type TrueVm = Pick<
  Machine,
  'id' | 'name' | 'description' | 'state' | 'settings' | 'snapshots' | 'currentSnapshot' | 'boot'
>

export type Settings = { [K in keyof Knobs]?: Knobs[K] extends object ? Partial<Knobs[K]> : Knobs[K] }

const sources = join(import.meta.dirname, '../doubles/prlctl')

/** The service that the doubles of a test file share; each has a folder of its own there. */
const socket = await startDispatcher()

const client = await readFile(join(sources, 'client.pl'), 'utf8')

async function startDispatcher(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'awaitvm-prlctl-'))
  const entry = { server: join(sources, 'server.ts') }
  await build({ entry, outDir: folder, format: 'cjs', target: 'node20', config: false, silent: true, clean: false })
  const [file = ''] = (await readdir(folder)).filter((name) => name.startsWith('server'))
  const path = join(folder, 'socket')
  const server = spawn(process.execPath, [join(folder, file), path], { stdio: ['pipe', 'pipe', 'inherit'] })
  await once(server.stdout, 'data')
  afterAll(async () => {
    const exited = server.exitCode ?? once(server, 'exit')
    server.stdin.end()
    await exited
    await rm(folder, { recursive: true })
  })
  return path
}

/** A separate Parallels host: the doubles of prlctl and prlsrvctl, and their shared state. */
export class PrlctlDouble implements AsyncDisposable {
  readonly folder: string

  private constructor(folder: string) {
    this.folder = folder
  }

  static async make(settings: Settings = {}, folder?: string): Promise<PrlctlDouble> {
    const double = new PrlctlDouble(folder ?? (await mkdtemp(join(tmpdir(), 'awaitvm-parallels-'))))
    const { state } = double
    await mkdir(join(state, 'bin'), { recursive: true })
    for (const name of ['prlctl', 'prlsrvctl', 'guestctl', 'truthctl']) {
      const path = join(name.startsWith('prl') ? double.folder : join(state, 'bin'), name)
      const places = [socket, name, state].map((word) => `'${word.replaceAll("'", "\\'")}'`).join(', ')
      await writeFile(
        path,
        client.replace('@PLACES@', () => places),
      )
      await chmod(path, 0o755)
    }
    // The double's own command, so that no test turns this machine off.
    for (const verb of ['poweroff', 'reboot']) {
      await writeFile(join(state, 'bin', verb), `#!/bin/sh\nexec guestctl ${verb}\n`, { mode: 0o755 })
    }
    await double.set(settings)
    return double
  }

  get prlctl(): string {
    return join(this.folder, 'prlctl')
  }

  get uri(): string {
    return `parallels:?prlctl=${encodeURIComponent(this.prlctl)}`
  }

  get state(): string {
    return join(this.folder, 'state')
  }

  /** Sets knobs; the others get their initial values. */
  async set(settings: Settings): Promise<void> {
    // Written atomically: a program of the double may start at any moment.
    const draft = join(this.state, 'knobs.json.new')
    await writeFile(draft, JSON.stringify(settings))
    await rename(draft, join(this.state, 'knobs.json'))
  }

  /** Runs a program of the double, as another client of the host. */
  async prlctlOutput(...args: readonly string[]): Promise<string> {
    return (await run(this.prlctl, args)).stdout
  }

  /** The number of events so far. */
  async eventCount(): Promise<number> {
    return (await readFile(join(this.state, 'events.jsonl'), 'utf8')).split('\n').length
  }

  /** What the host keeps on disk. */
  async files(): Promise<readonly string[]> {
    const names = await readdir(join(this.state, 'vms'), { recursive: true }).catch(() => [])
    return names.sort()
  }

  /** The VMs of the host once no state is changing, without injected faults. */
  async truth(): Promise<readonly TrueVm[]> {
    for (;;) {
      const { stdout } = await run(join(this.state, 'bin/truthctl'), { maxBuffer: Infinity })
      const { machines, pending } = JSON.parse(stdout) as Registry
      const vms = Object.values(machines)
      if (pending.length > 0 || vms.some(({ transition }) => transition !== undefined)) continue
      return vms.map(({ id, name, description, state, settings, snapshots, currentSnapshot, boot }) => ({
        id,
        name,
        description,
        state,
        settings,
        snapshots,
        currentSnapshot,
        boot,
      }))
    }
  }

  /** The command lines of the double's programs that still run. */
  async processes(): Promise<readonly string[]> {
    return [...(await this.#running()).values()]
  }

  /** Ends the programs that a killed client has left behind. */
  async endProcesses(): Promise<void> {
    for (const pid of (await this.#running()).keys()) process.kill(pid, 'SIGKILL')
  }

  async #running(): Promise<Map<number, string>> {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
    const lines = await Promise.all(
      pids.map(async (pid) => [Number(pid), await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')] as const),
    )
    return new Map(
      lines
        .filter(([, line]) => line.includes(this.folder) && !line.includes('host-child'))
        .map(([pid, line]) => [pid, line.replaceAll('\0', ' ').trim()]),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true, maxRetries: 3 })
  }
}
