import { spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { HostError, HostToolNotFoundError, PermissionDeniedError } from '../../../errors.js'
import type { KeptAdapter } from '../../../network/kept-adapter.js'
import { connectSocket } from '../process/socket.js'
import { QmpClient } from '../protocol/qmp-client.js'
import { nativeError, QemuProgramError } from '../qemu-errors.js'
import { runFiles } from '../run-files.js'
import { networkId } from './network-devices.js'

const timeoutMs = 10_000
/** Output beyond this size is dropped. */
const maxOutputBytes = 4096

/** Where packages have the helper: Debian and Arch, Fedora and SUSE. */
const helpers = ['/usr/lib/qemu/qemu-bridge-helper', '/usr/libexec/qemu-bridge-helper']

/**
 * Connects a QEMU, whose guest has not run yet, to the bridges that its adapters name. For each of them, QEMU's helper makes a TAP
 * device, which is gone with QEMU. QEMU can't start the helper in its sandbox, so this process does: the helper sends the device over
 * a connection to QEMU's monitor.
 */
export async function joinBridges(folder: string, adapters: readonly KeptAdapter[]): Promise<void> {
  for (const [index, { network }] of adapters.entries()) {
    if (network === 'user' || !('bridge' in network)) continue
    await connectHub(folder, index, network.bridge)
  }
}

/** Connects the hub that an adapter is on in QEMU. */
async function connectHub(folder: string, hub: number, bridge: string): Promise<void> {
  const helper = await findHelper(bridge)
  const socket = await connectSocket(folder, runFiles.control, timeoutMs)
  try {
    await sendTap(helper, bridge, socket)
    const opening = QmpClient.open(socket, { greetingTimeoutMs: timeoutMs, hasForeignBytes: true })
    // Node does not read from a stream any more that a child was given.
    socket.resume()
    const client = await opening
    const tap = `tap-${networkId(hub)}`
    await client.execute('getfd', { fdname: tap })
    await client.execute('netdev_add', { type: 'tap', id: tap, fd: tap })
    await client.execute('netdev_add', { type: 'hubport', id: `hub-${tap}`, hubid: hub, netdev: tap })
    await client.close()
  } finally {
    socket.destroy()
  }
}

/**
 * Finds the helper.
 *
 * @param root the folder to search instead of the whole file system
 * @throws HostError if this computer has no such bridge
 * @throws HostToolNotFoundError if the helper is not installed
 */
export async function findHelper(bridge: string, root = '/'): Promise<string> {
  if (!(await isThere(join(root, 'sys/class/net', bridge, 'bridge'), constants.F_OK))) {
    const message = `this computer has no bridge ${bridge}`
    const hint = `Make it, as root: ip link add ${bridge} type bridge; ip link set ${bridge} up. It needs Linux.`
    throw new HostError({ reason: message, hint, native: { driver: 'qmp', message } })
  }
  for (const helper of helpers) if (await isThere(join(root, helper), constants.X_OK)) return join(root, helper)
  throw new HostToolNotFoundError({
    reason: `the program qemu-bridge-helper, which connects VMs to bridges, is not in ${helpers.map((path) => join(root, path)).join(' or ')}`,
    hint: 'Install the package that has it: qemu-system-common on Debian, Ubuntu and Arch, qemu-common on Fedora.',
  })
}

async function isThere(path: string, mode: number): Promise<boolean> {
  try {
    await access(path, mode)
    return true
  } catch {
    return false
  }
}

/** Lets the helper make a TAP device on a bridge and send it, with a byte that means nothing, to QEMU. */
async function sendTap(helper: string, bridge: string, socket: Socket): Promise<void> {
  const child = spawn(helper, [`--br=${bridge}`, '--fd=3'], {
    stdio: ['ignore', 'ignore', 'pipe', socket],
    timeout: timeoutMs,
  })
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    if (said.length < maxOutputBytes) said += text
  })
  const exit = await new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      resolve(code ?? signal)
    })
  })
  if (exit !== 0) throw refusal(bridge, new QemuProgramError(helper, exit, said))
}

/** The helper says what it may not do in different words: its list of bridges is missing or has not this one, or it lacks rights. */
const refusal = (bridge: string, cause: QemuProgramError): PermissionDeniedError =>
  new PermissionDeniedError({
    reason: `qemu-bridge-helper does not connect the VM to the bridge ${bridge}: ${cause.message}`,
    hint: `Write "allow ${bridge}" into /etc/qemu/bridge.conf, and let the helper have the rights of root: chmod u+s.`,
    native: nativeError(cause),
    cause,
  })
