import { randomUUID } from 'node:crypto'
import type { HostProgram, StartOptions } from '../../ssh/host-program.js'
import { SshClient, type SshTarget } from '../../ssh/ssh-client.js'
import { programFolder, type HostMachine, type Transport } from './transport.js'

const machineScript = `uname -n; uname -m; getconf _NPROCESSORS_ONLN
if [ -r /proc/meminfo ]; then awk '/^MemTotal|^MemAvailable/ { printf "%.0f\\n", $2 * 1024 }' /proc/meminfo
else sysctl -n hw.memsize; vm_stat | awk '/page size of/ { size = $8 } /^Pages free/ { printf "%.0f\\n", $3 * size }'; fi`

/** Runs the programs on another machine, by ssh. */
export class SshTransport implements Transport {
  readonly #ssh: SshClient
  #zone: number | undefined

  private constructor(ssh: SshClient) {
    this.#ssh = ssh
  }

  static async open(target: SshTarget, config: string | undefined): Promise<SshTransport> {
    return new SshTransport(await SshClient.open(target, { config, extraPath: programFolder }))
  }

  start(argv: readonly string[], options: StartOptions): HostProgram {
    return this.#ssh.start(argv, options)
  }

  async describe(): Promise<HostMachine> {
    const [hostName = '', architecture = '', cpus, memory, free] = (await this.#ssh.script(machineScript)).split('\n')
    const mebibytes = (bytes: string | undefined): number => Math.floor(Number(bytes ?? 0) / 2 ** 20)
    return {
      hostName,
      architecture,
      cpus: Number(cpus),
      memoryMiB: mebibytes(memory),
      freeMemoryMiB: Math.min(mebibytes(free), mebibytes(memory)),
    }
  }

  async zone(): Promise<number> {
    if (this.#zone === undefined) {
      const [, sign, hours, minutes] = /^([+-])(\d\d)(\d\d)/.exec(await this.#ssh.script('date +%z')) ?? []
      this.#zone = (sign === '-' ? -1 : 1) * (60 * Number(hours ?? 0) + Number(minutes ?? 0))
    }
    return this.#zone
  }

  async isReadableFile(path: string): Promise<boolean> {
    return (await this.#ssh.script('if [ -f "$1" ] && [ -r "$1" ]; then echo yes; fi', [path])).startsWith('yes')
  }

  async takeFile(path: string): Promise<Uint8Array> {
    return Buffer.from(await this.#ssh.script('base64 <"$1"; rm -f "$1"', [path]), 'base64')
  }

  async removeFile(path: string): Promise<void> {
    await this.#ssh.script('rm -f "$1"', [path])
  }

  temporaryPath(suffix: string): string {
    return `/tmp/awaitvm-${randomUUID()}${suffix}`
  }

  async close(): Promise<void> {
    await this.#ssh.close()
  }
}
