import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { connect, type Server, type Vm, type VmSpec } from 'awaitvm'
import { builtInGuest } from '../../src/drivers/embedded/machine/guest.js'
import { SerialGuest } from '../../src/testing/conformance/serial-guest.js'
import { processesIn } from './qemu-processes.js'

const run = promisify(execFile)

/** A directory of QEMU's VMs for one test, with the small guest to boot. It asserts that nothing is left behind. */
export class QmpHost implements AsyncDisposable {
  readonly folder: string
  readonly directory: string
  readonly kernel: string
  readonly uri: string
  readonly server: Server

  private constructor(folder: string, server: Server) {
    this.folder = folder
    this.directory = join(folder, 'vms')
    this.kernel = join(folder, 'guest.bin')
    this.uri = `qmp://${this.directory}`
    this.server = server
  }

  /** @param parent the folder for the directory; the temporary folder if absent */
  static async open(parent: string = tmpdir()): Promise<QmpHost> {
    const folder = await mkdtemp(join(parent, 'awaitvm-qmp-'))
    await writeFile(join(folder, 'guest.bin'), builtInGuest())
    return new QmpHost(folder, await connect(`qmp://${join(folder, 'vms')}`).unwrap())
  }

  async createVm(spec: Partial<VmSpec> = {}): Promise<Vm> {
    const { kernel } = this
    return await this.server.createVm({ name: 'web-1', memoryMiB: 16, boot: { kernel }, ...spec }).unwrap()
  }

  /** Starts the VM, and waits for its guest. */
  async boot(vm: Vm): Promise<SerialGuest> {
    await vm.start().unwrap()
    const guest = new SerialGuest(vm)
    await guest.untilReady()
    return guest
  }

  folderOf({ id }: Pick<Vm, 'id'>): string {
    return join(this.directory, 'vms', id)
  }

  async pidOf(vm: Vm): Promise<number> {
    return Number(await readFile(join(this.folderOf(vm), 'qemu.pid'), 'utf8'))
  }

  /** The errors that `qemu-img check` finds in the VM's disks. The VM must not run. */
  async damage(vm: Vm): Promise<string[]> {
    const files = (await readdir(this.folderOf(vm))).filter((name) => name.endsWith('.qcow2'))
    const found: string[] = []
    for (const file of files) {
      const checked = run('qemu-img', ['check', '-f', 'qcow2', join(this.folderOf(vm), file)])
      const failure = await checked.then(
        () => undefined,
        (error: unknown) => error as { readonly code: number; readonly stdout: string },
      )
      // 3: leaked clusters, which do no harm.
      if (failure !== undefined && failure.code !== 3) found.push(`${file}: ${failure.stdout}`)
    }
    return found
  }

  /** The sizes of the VM's disks in MiB, from the headers of their files. */
  async diskSizes(vm: Vm): Promise<number[]> {
    const folder = this.folderOf(vm)
    const { hardware } = JSON.parse(await readFile(join(folder, 'vm.json'), 'utf8')) as {
      readonly hardware: { readonly disks: readonly { readonly file: string }[] }
    }
    const headers = hardware.disks.map(({ file }) => readFile(join(folder, file)))
    return (await Promise.all(headers)).map((bytes) => Number(bytes.readBigUInt64BE(24)) / 2 ** 20)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close()
    for (const pid of await processesIn(this.directory)) process.kill(pid, 'SIGKILL')
    await rm(this.folder, { recursive: true, force: true, maxRetries: 3 })
  }
}
