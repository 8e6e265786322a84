/** Clones with memory of one booted Debian on QEMU, and bare QEMUs with `-incoming` of the same memory. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir, open, readdir, rm } from 'node:fs/promises'
import { createConnection, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { connect, type Server, type Snapshot, type Vm } from 'awaitvm'
import { openMonitor } from '../../src/drivers/qmp/process/monitor.js'
import { debianWithAgent } from '../../test/support/debian-with-agent.js'
import { greeted } from './bare-qemu.js'
import { cloneNames, timedBoots, timedClones } from './forks.js'
import { answerTo, question, untilPrinted } from './question.js'

const run = promisify(execFile)
const memoryMiB = 192
const ready = 'shell ready'
/** As many at a time as processors: more only slow each other down. */
const atOnce = 4

export class ForkedQemu implements AsyncDisposable {
  readonly #folder: string
  readonly #server: Server
  readonly #golden: Vm
  readonly #snapshot: Snapshot
  /** The command line of a clone. */
  readonly #line: readonly string[]
  /** The memory as a stream for `-incoming`, and the disk at that moment. */
  readonly #stream: string
  readonly #disk: string
  #rounds = 0

  private constructor(parts: {
    folder: string
    server: Server
    golden: Vm
    snapshot: Snapshot
    line: readonly string[]
    stream: string
    disk: string
  }) {
    this.#folder = parts.folder
    this.#server = parts.server
    this.#golden = parts.golden
    this.#snapshot = parts.snapshot
    this.#line = parts.line
    this.#stream = parts.stream
    this.#disk = parts.disk
  }

  static async boot(folder: string): Promise<ForkedQemu> {
    const directory = join(folder, 'vms')
    const server = await connect(`qmp://${directory}`, { maxConcurrentOperations: atOnce }).unwrap()
    const golden = await create(server, 'golden')
    await golden.start().unwrap()
    await untilPrinted(golden, ready)
    const snapshot = await golden.createSnapshot({ name: 'booted' }).unwrap()
    await golden.stop({ mode: 'kill' }).unwrap()
    const clone = await golden.clone({ name: 'of-bare', memory: true, snapshot }).unwrap()
    const { details } = clone.native
    const line = details?.driver === 'qmp' ? details.commandLine : []
    const vmFolder = join(directory, 'vms', clone.id)
    const stream = join(folder, 'stream')
    await saveStream(vmFolder, join(folder, 'stream.sock'), stream)
    const base = (await readdir(vmFolder)).find((name) => name.startsWith('base-')) ?? ''
    const disk = join(folder, 'disk.qcow2')
    await run('cp', [join(vmFolder, base), disk])
    await clone.delete({ force: true }).unwrap()
    return new ForkedQemu({ folder, server, golden, snapshot, line, stream, disk })
  }

  /** Milliseconds until the last of the clones has answered. */
  async clones(count: number): Promise<number> {
    const { vms, taken } = await timedClones(this.#golden, this.#snapshot, count)
    for (const vm of vms) await vm.delete({ force: true }).unwrap()
    return taken
  }

  async bare(count: number): Promise<number> {
    const folder = join(this.#folder, `bare-${String((this.#rounds += 1))}`)
    await mkdir(folder)
    const ends: (() => Promise<void>)[] = []
    const waiting = cloneNames(count)
    const start = performance.now()
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        for (let name = waiting.shift(); name !== undefined; name = waiting.shift())
          ends.push(await this.#startBare(join(folder, name)))
      }),
    )
    const taken = performance.now() - start
    for (const end of ends) await end()
    await rm(folder, { recursive: true })
    return taken
  }

  async boots(count: number): Promise<number> {
    const vms: Vm[] = []
    for (const name of cloneNames(count)) vms.push(await create(this.#server, name))
    const { taken } = await timedBoots(vms, ready)
    for (const vm of vms) await vm.delete({ force: true }).unwrap()
    return taken
  }

  async #startBare(folder: string): Promise<() => Promise<void>> {
    await mkdir(folder)
    const file = /disk-[0-9a-f-]{36}\.qcow2/.exec(this.#line.join(' '))?.[0] ?? ''
    const base = /base-[0-9a-f-]{36}\.qcow2/.exec(this.#line.join(' '))?.[0] ?? ''
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', this.#disk, '-F', 'qcow2', join(folder, file)])
    await using stream = await open(this.#stream)
    const [program = '', ...args] = this.#line.map((word) => word.replaceAll(base, this.#disk))
    const child = spawn(program, [...args, '-incoming', 'fd:3'], {
      cwd: folder,
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore', stream.fd],
    })
    const monitor = await greeted(join(folder, 'control.sock'))
    monitor.write('{"execute":"qmp_capabilities"}')
    await untilLoaded(monitor)
    const serial = await greetedBy(join(folder, 'serial.sock'), 'bare')
    serial.destroy()
    return async () => {
      const exited = once(child, 'exit')
      monitor.end('{"execute":"quit"}')
      await exited
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const vm of await this.#server.getVmList().unwrap()) await vm.delete({ force: true }).unwrap()
    await this.#server.close().unwrap()
  }
}

async function create(server: Server, name: string): Promise<Vm> {
  const linux = await debianWithAgent()
  if (linux.unavailable !== undefined) throw new Error(linux.unavailable)
  const boot = { kernel: linux.kernel, initrd: linux.initrd, commandLine: 'console=ttyS0 quiet' }
  return await server.createVm({ name, memoryMiB, boot, disks: [{ sizeMiB: 64 }] }).unwrap()
}

/** Writes the memory of a VM as QEMU migrates it. */
async function saveStream(vmFolder: string, socket: string, file: string): Promise<void> {
  const server = createServer().listen(socket)
  await once(server, 'listening')
  const monitor = await openMonitor(vmFolder, 'control.sock')
  await monitor.execute('stop')
  await monitor.execute('migrate-set-parameters', { 'max-bandwidth': 1e10 })
  const connected = once(server, 'connection') as Promise<[Socket]>
  await monitor.execute('migrate', { uri: `unix:${socket}` })
  const [stream] = await connected
  await pipeline(stream, createWriteStream(file))
  await monitor.close()
  server.close()
}

/** Waits until the memory is loaded, and lets the guest go on. */
async function untilLoaded(monitor: Socket): Promise<void> {
  let said = ''
  monitor.on('data', (chunk) => {
    said += String(chunk)
  })
  for (;;) {
    said = ''
    monitor.write('{"execute":"query-status","id":"status"}')
    await untilSaid(monitor, () => said.includes('"status"') && said.includes('"id"'))
    if (!said.includes('inmigrate')) break
    await new Promise((resolve) => setTimeout(resolve, 3))
  }
  monitor.write('{"execute":"cont","id":"cont"}')
  await untilSaid(monitor, () => said.includes('"cont"'))
}

async function untilSaid(socket: Socket, isSaid: () => boolean): Promise<void> {
  while (!isSaid()) await once(socket, 'data')
}

/** Asks the guest behind a serial port. */
async function greetedBy(path: string, word: string): Promise<Socket> {
  const socket = createConnection(path)
  await once(socket, 'connect')
  let output = ''
  socket.on('data', (chunk) => {
    output += String(chunk)
  })
  socket.write(question(word))
  await untilSaid(socket, () => output.includes(answerTo(word)))
  return socket
}
