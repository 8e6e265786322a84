/** QEMU without awaitvm: spawned with an argument list, and its monitor awaited. */
import { spawn } from 'node:child_process'
import { on, once } from 'node:events'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { createConnection, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import * as v from 'valibot'

const runSchema = v.object({ commandLine: v.array(v.string()) })

/** The command lines with which awaitvm started the VMs of a directory. */
export async function commandLinesIn(directory: string): Promise<string[][]> {
  const vms = join(directory, 'vms')
  const records = (await readdir(vms)).map((id) => readFile(join(vms, id, 'run.json'), 'utf8'))
  return (await Promise.all(records)).map((text) => v.parse(runSchema, JSON.parse(text)).commandLine)
}

/**
 * Starts a QEMU in a folder of its own, waits for the greeting of its monitor, and continues the guest, which the command line
 * leaves halted. Returns the function that ends it.
 */
export async function startBare(
  folder: string,
  [program = '', ...args]: readonly string[],
): Promise<() => Promise<void>> {
  await mkdir(folder)
  const child = spawn(program, args, { cwd: folder, detached: true, stdio: 'ignore' })
  const monitor = await greeted(join(folder, 'control.sock'))
  monitor.write('{"execute":"qmp_capabilities"}{"execute":"cont","id":"cont"}')
  for await (const chunk of on(monitor, 'data')) if (String(chunk).includes('"cont"')) break
  return async () => {
    const exited = once(child, 'exit')
    monitor.end('{"execute":"quit"}')
    await exited
  }
}

/** A connection after the greeting. */
export async function greeted(path: string): Promise<Socket> {
  for (;;) {
    const socket = createConnection(path)
    try {
      await once(socket, 'data')
      return socket
    } catch {
      // Not there yet.
      await delay(3)
    }
  }
}
