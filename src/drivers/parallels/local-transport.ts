import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { access, constants, readFile, rm, stat } from 'node:fs/promises'
import { arch, tmpdir } from 'node:os'
import { join } from 'node:path'
import { thisMachine } from '../../driver/this-machine.js'
import { programOf, type HostProgram, type StartOptions } from '../../ssh/host-program.js'
import { programFolder, type HostMachine, type Transport } from './transport.js'

/** Runs the programs on this machine. */
export class LocalTransport implements Transport {
  start(argv: readonly string[], { hasInput, isLive = false }: StartOptions): HostProgram {
    // Without a terminal, programs on macOS buffer their output.
    const [program = '', ...words] =
      isLive && process.platform === 'darwin' ? ['/usr/bin/script', '-q', '/dev/null', ...argv] : argv
    const { env } = process
    const PATH = `${env['PATH'] ?? ''}:${programFolder}`
    const child = spawn(program, words, { env: { ...env, PATH }, stdio: 'pipe' })
    if (!hasInput && !isLive) child.stdin.end()
    return programOf(child, { interrupt: 'SIGINT', kill: 'SIGKILL' })
  }

  async describe(): Promise<HostMachine> {
    return {
      ...thisMachine(),
      architecture: arch() === 'x64' ? 'x86_64' : arch(),
    }
  }

  async zone(): Promise<undefined> {
    // This machine's clock is the host's.
  }

  async isReadableFile(path: string): Promise<boolean> {
    try {
      await access(path, constants.R_OK)
      return (await stat(path)).isFile()
    } catch {
      // The caller's error names the path; the reason does not matter.
      return false
    }
  }

  async takeFile(path: string): Promise<Uint8Array> {
    try {
      return await readFile(path)
    } finally {
      await this.removeFile(path)
    }
  }

  async removeFile(path: string): Promise<void> {
    await rm(path, { force: true })
  }

  temporaryPath(suffix: string): string {
    return join(tmpdir(), `awaitvm-${randomUUID()}${suffix}`)
  }

  async close(): Promise<void> {
    // There is no connection.
  }
}
