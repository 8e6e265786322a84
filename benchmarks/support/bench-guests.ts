/** Two Linux guests with QEMU's guest agent, of the same command line: one of awaitvm, one of a bare QEMU. */
import { join } from 'node:path'
import { connect, type Server, type Vm } from 'awaitvm'
import { debianWithSsh, withAgent, type DebianWithSsh } from '../../test/support/debian-with-ssh.js'
import { commandLinesIn, startBare } from './bare-qemu.js'
import { RawAgent } from './raw-agent.js'
import { portArguments, portSocket, RawPort } from './raw-port.js'
import { scpTo, type Scp } from './scp.js'

const memoryMiB = 768

/** Time for both to boot on a loaded machine. */
const bootTimeoutMs = 300_000

export class BenchGuests implements AsyncDisposable {
  readonly linux: Extract<DebianWithSsh, { readonly kernel: string }>
  readonly server: Server
  /** A guest of awaitvm with the agent, and an ssh server behind a forwarded port. */
  readonly vm: Vm
  /** The agent of the bare guest. */
  readonly agent: RawAgent
  /** A port of the bare guest. */
  readonly port: RawPort
  /** The serial console of the bare guest. */
  readonly serialSocket: string
  /** Copies to and from awaitvm's guest. */
  readonly scp: Scp
  readonly #endBare: () => Promise<void>

  private constructor(parts: {
    linux: Extract<DebianWithSsh, { readonly kernel: string }>
    server: Server
    vm: Vm
    agent: RawAgent
    port: RawPort
    serialSocket: string
    scp: Scp
    endBare: () => Promise<void>
  }) {
    this.linux = parts.linux
    this.server = parts.server
    this.vm = parts.vm
    this.agent = parts.agent
    this.port = parts.port
    this.serialSocket = parts.serialSocket
    this.scp = parts.scp
    this.#endBare = parts.endBare
  }

  /** Boots both, in a folder that exists. */
  static async boot(folder: string): Promise<BenchGuests> {
    const linux = await debianWithSsh()
    if (linux.unavailable !== undefined) throw new Error(linux.unavailable)
    const { kernel, initrd, userKey, hostKey } = linux
    const directory = join(folder, 'vms')
    const server = await connect(`qmp://${directory}`).unwrap()
    let endBare = (): Promise<void> => Promise.resolve()
    try {
      const vm = await server
        .createVm({
          name: 'guest',
          memoryMiB,
          boot: { kernel, initrd, commandLine: `console=ttyS0 quiet ${withAgent}` },
          networkAdapters: [{ portForwards: [{ guestPort: 22 }] }],
        })
        .unwrap()
      await vm.start().unwrap()
      const [line = []] = await commandLinesIn(directory)
      const bare = join(folder, 'bare')
      endBare = await startBare(bare, [...line, ...portArguments])
      const agent = await RawAgent.open(join(bare, 'agent.sock'))
      await vm.guest.waitUntilReady({ timeoutMs: bootTimeoutMs }).unwrap()
      const hostPort = (await vm.refresh().unwrap()).networkAdapters?.[0]?.portForwards?.[0]?.hostPort
      if (hostPort === undefined) throw new Error('the VM has no forwarded port')
      return new BenchGuests({
        linux,
        server,
        vm,
        agent,
        port: await RawPort.open(agent, join(bare, portSocket)),
        serialSocket: join(bare, 'serial.sock'),
        scp: await scpTo(folder, { port: hostPort, userKey, hostKey }),
        endBare,
      })
    } catch (error) {
      await endBare()
      await stopAll(server)
      throw error
    }
  }

  /** Boots another guest of awaitvm, which has no agent and is reached by SSH. */
  async vmBySsh(): Promise<Vm> {
    const { kernel, initrd, userKey, hostKey } = this.linux
    const vm = await this.server
      .createVm({
        name: 'by-ssh',
        memoryMiB,
        boot: { kernel, initrd, commandLine: 'console=ttyS0 quiet' },
        networkAdapters: [{ portForwards: [{ guestPort: 22 }] }],
        guest: { way: 'ssh', user: 'root', privateKeyFile: userKey, hostKey },
      })
      .unwrap()
    await vm.start().unwrap()
    await vm.guest.waitUntilReady({ timeoutMs: bootTimeoutMs }).unwrap()
    return vm
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]()
    await this.#endBare()
    await stopAll(this.server)
  }
}

async function stopAll(server: Server): Promise<void> {
  for (const vm of await server.getVmList().unwrap()) await vm.stop({ mode: 'kill' }).unwrap()
  await server.close().unwrap()
}
